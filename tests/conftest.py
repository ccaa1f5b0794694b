"""What all tests share: the depth of property tests, Ctrl-C, and parts that must be there in CI."""

import os
import signal

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


@pytest.fixture(scope="session", autouse=True)
def heeds_interrupts():
    """Ctrl-C's usual handler, here and in child processes: a shell's background job ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
