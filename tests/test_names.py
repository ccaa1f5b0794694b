"""The public names: each is what it says, whatever was imported before."""

import subprocess
import sys
from types import ModuleType

import pytest

import hot


@pytest.mark.parametrize("name", hot.__all__)
def test_a_public_name_is_no_room_at_the_first_use_and_at_the_second(name):
    for _ in range(2):
        assert not isinstance(getattr(hot, name), ModuleType)


def test_a_room_imported_first_does_not_hide_the_function_of_its_name():
    code = (
        "import hot, hot.deploy.flow, hot.autosearch.topk\n"
        "from hot.deploy import load_bundle\n"
        "assert hot.deploy.__name__ == 'deploy' and callable(hot.deploy)\n"
        "assert hot.autosearch.__name__ == 'autosearch' and callable(hot.autosearch)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
