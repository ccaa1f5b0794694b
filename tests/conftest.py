"""What all tests share: the depth of property tests, and parts that must be there in CI."""

import os

import pytest
from hypothesis import settings

settings.register_profile("hot", max_examples=40, deadline=None)
settings.load_profile("hot")


@pytest.fixture(scope="session")
def skip_unless_ci():
    """A function that skips with a reason, or fails where CI=true: there every part must run."""

    def skip(reason):
        if os.environ.get("CI") == "true":
            pytest.fail(f"in CI this must run: {reason}")
        pytest.skip(reason)

    return skip
