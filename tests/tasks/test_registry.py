import pytest

from hot.errors import InputError
from hot.tasks import TASKS, find_task


def test_a_task_is_found_by_name():
    assert find_task("classification") is TASKS["classification"]


def test_a_wrong_name_gets_the_near_match():
    with pytest.raises(InputError, match="did you mean 'classification'"):
        find_task("clasification")
