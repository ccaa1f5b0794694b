"""A front: what the best predicted quality is at every budget of one resource."""

from dataclasses import dataclass

from hot.records.budget import Budget
from hot.records.prediction import Prediction


@dataclass(frozen=True)
class FrontPoint:
    """An architecture that is best within some budget of the swept resource.

    Attributes:
        architecture: the key that `Space.parse` reads; one of them where several are equal.
        amount: what it takes of the swept resource, in the unit of its name.
        value: the quality that is best at this amount.
    """

    architecture: str
    amount: float
    value: float
    predicted: Prediction


@dataclass(frozen=True)
class Front:
    """The non-dominated predicted architectures of a space along one resource.

    Attributes:
        resource: what was swept, a field of `Budget`.
        scorer: the quality's source.
        budget: the limits that held throughout; that of the swept resource is `highest`.
        lowest, highest: the budgets swept between; the first point is the best within `lowest`, so
            it may take less. None starts at the least that any architecture takes.
        step: None where all points are there; else the points are those that are best within the
            budgets lowest, lowest + step, ... up to highest, and others lie between them.
        is_proven: every point is best within its budget, and none is missing (at this step).
        points: by amount, ascending, and so by value.
    """

    space: str
    resource: str
    scorer: str
    budget: Budget
    lowest: float | None
    highest: float
    step: float | None
    is_proven: bool
    seconds: float
    points: tuple[FrontPoint, ...]
