"""What plugging a block in must keep: agreement with the original network, its loss, its metric."""

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


def loss(outputs: Tensor, original: Tensor, targets: Tensor, task: Task) -> float:
    """Minus the task's loss."""
    return -float(task.loss(outputs, targets, 0.0))


def metric(outputs: Tensor, original: Tensor, targets: Tensor, task: Task) -> float:
    """The task's metric, with the sign that makes higher better."""
    value = task.score(outputs, targets)
    return value if task.higher_is_better else -value


MEASURES: dict[str, Measure] = {"kl": agreement, "loss": loss, "metric": metric}
