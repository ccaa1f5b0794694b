"""What plugging a block in must keep: agreement with the original network, its loss, its metric."""

import math
from collections.abc import Callable

from torch import Tensor
from torch.nn import functional

from hot.tasks import Task

Measure = Callable[[Tensor, Tensor, Tensor, Task], float]


def agreement(outputs: Tensor, original: Tensor, targets: Tensor, task: Task) -> float:
    """Minus the Kullback-Leibler divergence of the softmax from the original's, nats an image.

    Args:
        outputs, original: scores (N, n_classes).
    """
    wanted, found = original.log_softmax(1), outputs.log_softmax(1)
    return -float(functional.kl_div(found, wanted, reduction="batchmean", log_target=True))


def distance(outputs: Tensor, original: Tensor, targets: Tensor, task: Task) -> float:
    """Minus the square root of the divergence: of first order in a small change of the outputs.

    The divergence is of second order, so that the changes of several blocks together exceed the sum
    of each alone; their roots add up better.
    """
    return -math.sqrt(max(0.0, -agreement(outputs, original, targets, task)))


def loss(outputs: Tensor, original: Tensor, targets: Tensor, task: Task) -> float:
    """Minus the task's loss."""
    return -float(task.loss(outputs, targets, 0.0))


def metric(outputs: Tensor, original: Tensor, targets: Tensor, task: Task) -> float:
    """The task's metric, with the sign that makes higher better."""
    value = task.score(outputs, targets)
    return value if task.higher_is_better else -value


MEASURES: dict[str, Measure] = {
    "distance": distance,
    "kl": agreement,
    "loss": loss,
    "metric": metric,
}
