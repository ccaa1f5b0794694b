"""Loss and metric of a network on a split."""

import torch
from torch import Tensor, nn

from hot.tasks import TASKS, ImageData, Split, Task
from hot.training.precision import FP32, autocast

_BATCH = 256


class Normalise:
    """`ImageData.normalise` on tensors: (B, C, H, W), to channels last on a device."""

    def __init__(self, data: ImageData, device: torch.device) -> None:
        mean = torch.tensor(data.mean, device=device).view(1, -1, 1, 1)
        std = torch.tensor(data.std, device=device).view(1, -1, 1, 1)
        self.mean, self.std = mean, std

    def __call__(self, images: Tensor) -> Tensor:
        """The normalised batch."""
        images = images.to(self.mean.device).contiguous(memory_format=torch.channels_last)
        return images.float().div_(255).sub_(self.mean).div_(self.std)


def evaluate(
    model: nn.Module, split: Split, data: ImageData, task: Task = TASKS["classification"]
) -> float:
    """The task's metric of `model` on `split`, in float32 on the model's device."""
    return evaluate_loss(model, split, data, task)[1]


def evaluate_loss(
    model: nn.Module, split: Split, data: ImageData, task: Task, precision: str = FP32
) -> tuple[float, float]:
    """The mean loss, without smoothing, and the metric of `model` on `split`."""
    device = next(model.parameters()).device
    normalise = Normalise(data, device)
    was_training = model.training
    model.eval()
    outputs, targets = [], []
    with torch.inference_mode(), autocast(precision, device):
        for start in range(0, len(split), _BATCH):
            indices = torch.arange(start, min(start + _BATCH, len(split))).numpy()
            images, wanted = task.collate(split, indices)
            outputs.append(model(normalise(images)).detach().float())
            targets.append(wanted.to(device))
    model.train(was_training)
    scores, wanted = torch.cat(outputs), torch.cat(targets)
    return float(task.loss(scores, wanted, 0.0)), task.score(scores, wanted)
