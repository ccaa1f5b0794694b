"""Distillation: the original network of a space teaches an architecture that replaces it."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from hot.errors import InputError
from hot.nn import Library
from hot.records import Recipe
from hot.space import Architecture, Space

_EPS = 1e-6  # least mean square of the teacher's features that divides, as in a slot of zeros


@dataclass(frozen=True)
class Teacher:
    """The trained original network, and what a training takes from it.

    Attributes:
        module: in evaluation mode, without gradients.
        ends: the part that ends each slot; its output has the same shape in every architecture.
    """

    module: nn.Module
    ends: tuple[str, ...]
    recipe: Recipe

    def loss(
        self, student: nn.Module, images: Tensor, task_loss: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """The loss of `student` on a batch (B, C, H, W), as `Recipe` states it."""
        with self._watch(student) as ours:
            outputs = student(images)
        with torch.no_grad(), self._watch(self.module) as theirs:
            wanted = self.module(images)
        weight = self.recipe.distill_logits
        total = (1 - weight) * task_loss(outputs)
        if weight:
            total = total + weight * logit_loss(outputs, wanted, self.recipe.distill_temperature)
        if self.recipe.distill_features:
            total = total + self.recipe.distill_features * feature_loss(ours, theirs)
        return total

    @contextlib.contextmanager
    def _watch(self, module: Any) -> Iterator[list[Tensor]]:
        """Collects the outputs of the slots, in order, while `module` runs."""
        outputs: list[Tensor] = []
        ends = self.ends if self.recipe.distill_features else ()
        hooks = [
            module.part(name).register_forward_hook(lambda _, __, output: outputs.append(output))
            for name in ends
        ]
        try:
            yield outputs
        finally:
            for hook in hooks:
                hook.remove()


def make_teacher(library: Library, recipe: Recipe, device: torch.device) -> Teacher:
    """The library's original network as the teacher of `recipe` on `device`."""
    module = library.original().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    ends = tuple(slot.parts[-1] for slot in library.space.slots)
    return Teacher(module.requires_grad_(False), ends, recipe)


def logit_loss(outputs: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """The divergence of class scores (B, n_classes) from the teacher's, mean over the batch.

    `T^2 KL(softmax(wanted / T) || softmax(outputs / T))`; the square keeps its gradient as large as
    that of the task's loss at any temperature.

    References:
        Hinton et al., Distilling the Knowledge in a Neural Network, 2015, section 2.
    """
    return temperature**2 * functional.kl_div(
        functional.log_softmax(outputs.float() / temperature, dim=1),
        functional.log_softmax(wanted.float() / temperature, dim=1),
        reduction="batchmean",
        log_target=True,
    )


def feature_loss(outputs: list[Tensor], wanted: list[Tensor]) -> Tensor:
    """The squared error of features relative to the teacher's mean square, mean over the slots.

    `MSE(o, t) / MSE(t, 0)` for each slot: 0 for a copy, 1 for zeros, whatever the features' scale.

    References:
        Romero et al., FitNets: Hints for Thin Deep Nets, ICLR 2015, eq. (3).
        Bercovich et al., Puzzle, 2024, section 3.2.
    """
    errors = [
        functional.mse_loss(ours.float(), theirs.float())
        / theirs.float().square().mean().clamp_min(_EPS)
        for ours, theirs in zip(outputs, wanted, strict=True)
    ]
    return torch.stack(errors).mean()


def check_library(
    recipe: Recipe, library: Library | None, space: Space, architecture: Architecture
) -> str:
    """What identifies the weights that the training takes from the library; empty for none.

    Raises:
        InputError: the recipe asks for a library that is not there, or is of another space.
    """
    if not recipe.needs_library:
        return ""
    if library is None or not library.has_original():
        wanted = "inherit" if recipe.inherit else "distillation"
        where = "none is given" if library is None else f"{library.folder} has no original network"
        raise InputError(
            f"the recipe asks for {wanted}, which needs a library of trained weights, and {where}; "
            "search with the quality 'distill' first, which makes the run's library, or leave "
            "inherit, distill_logits and distill_features out of the recipe"
        )
    if library.space.key != space.key:
        raise InputError(
            f"the library {library.folder} is of the space {library.space.key!r}, the training of "
            f"{space.key!r}; give the library of this space"
        )
    return library.digest_of(architecture if recipe.inherit else library.space.original)
