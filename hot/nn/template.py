"""A network that is copied again and again, whole or in part, also in other processes."""

import copy
import io
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


class Template:
    """A network that nobody changes; pickled once, however many copies refer to it.

    Its tensors travel as bytes, since a process that torch did not start cannot take over shared
    memory.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    def __getstate__(self) -> dict[str, Any]:
        buffer = io.BytesIO()
        torch.save(self.network, buffer)
        return {"network": buffer.getvalue()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.network = torch.load(io.BytesIO(state["network"]), weights_only=False)


@dataclass(frozen=True)
class Copies:
    """Makes copies of a template, or of the modules at `paths` in it, as one chain."""

    template: Template
    paths: tuple[str, ...] = ()

    def __call__(self) -> nn.Module:
        """A new copy, with weights of its own."""
        network = self.template.network
        if not self.paths:
            return copy.deepcopy(network)
        return copy.deepcopy(chain(network, self.paths))


def chain(network: nn.Module, paths: tuple[str, ...]) -> nn.Module:
    """The modules at `paths` as one: the module itself, or a sequence of several."""
    modules = [network.get_submodule(path) for path in paths]
    return modules[0] if len(modules) == 1 else nn.Sequential(*modules)
