"""The tasks known here, by name, and those that other packages add."""

from importlib.metadata import entry_points

from hot.errors import InputError, unknown_name
from hot.tasks.classification import Classification
from hot.tasks.contract import Task

TASKS: dict[str, Task] = {
    "classification": Classification(),
}


def known_tasks() -> dict[str, Task]:
    """`TASKS` and the tasks of the entry-point group `hot.tasks`."""
    added: dict[str, Task] = {p.name: p.load() for p in entry_points(group="hot.tasks")}
    return {**added, **TASKS}


def find_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        InputError: there is none; names the near match and all known ones.
    """
    tasks = known_tasks()
    if name not in tasks:
        raise InputError(unknown_name("task", name, tasks))
    return tasks[name]
