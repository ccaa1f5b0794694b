"""Kinds of problem: their data, head, loss and metric."""

from hot.tasks.classification import Classification
from hot.tasks.contract import Task
from hot.tasks.images import DataOptions, ImageData, Split, load_images
from hot.tasks.registry import TASKS, find_task, known_tasks

__all__ = [
    "TASKS",
    "Classification",
    "DataOptions",
    "ImageData",
    "Split",
    "Task",
    "find_task",
    "known_tasks",
    "load_images",
]
