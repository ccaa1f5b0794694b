"""Models by name: timm, torchvision, a factory of the user's own; their weights and classes."""

import copy
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hot.errors import SpaceError, unknown_name
from hot.files import atomic_path
from hot.nn.seeded import seeded
from hot.nn.tensors import copy_state, write_tensors
from hot.space import Shape

PRETRAINED, NONE = "pretrained", "none"
_SEED = 0  # of weights that are not loaded, so that a name means the same network everywhere


@dataclass(frozen=True)
class Model:
    """A network of our own, in float32 on the processor, and the image it is looked at with."""

    name: str
    network: nn.Module
    shape: Shape


def load_model(
    model: nn.Module | str,
    example: Tensor | int | Sequence[int] | None,
    weights: str,
    n_classes: int | None,
    in_channels: int | None,
) -> Model:
    """A copy of a module, or the model of a name with its weights.

    Raises:
        SpaceError: no such model or weights, or an example that is none.
    """
    if n_classes is not None and n_classes < 2:
        raise SpaceError(f"n_classes must be at least 2, not {n_classes}")
    if isinstance(model, nn.Module):
        if example is None:
            raise SpaceError(
                f"give an example for {type(model).__name__}: a batch of images (B, C, H, W), its "
                "shape (C, H, W) or the resolution in pixels"
            )
        return Model(type(model).__name__, _own(model), _shape(example, in_channels or 3))
    with seeded(_SEED), torch.enable_grad():
        return _by_name(model, example, weights, n_classes, in_channels)


def _own(model: nn.Module) -> nn.Module:
    try:
        network = copy.deepcopy(model)
    except Exception as error:  # whatever a module of the user's makes of it
        raise SpaceError(
            f"{type(model).__name__} cannot be copied ({error}); give it by name, as "
            "'package.module:factory'"
        ) from error
    return network.to(device="cpu", dtype=torch.float32).eval()


def _shape(example: Tensor | int | Sequence[int], channels: int) -> Shape:
    if isinstance(example, Tensor):
        if example.dim() != 4:
            raise SpaceError(
                f"the example must be a batch of images (B, C, H, W), not {tuple(example.shape)}"
            )
        sides = tuple(example.shape[1:])
    elif isinstance(example, int):
        sides = (channels, example, example)
    else:
        sides = tuple(example)
    if len(sides) != 3 or not all(isinstance(side, int) for side in sides):
        raise SpaceError(f"the example's shape must be (C, H, W), not {example!r}")
    shape = Shape(*sides)
    if shape.channels < 1 or not all(8 <= side <= 4096 for side in shape[1:]):
        raise SpaceError(
            f"the resolution must be between 8 and 4096 pixels, not {shape.height}x{shape.width}"
        )
    return shape


def _by_name(
    name: str,
    example: Tensor | int | Sequence[int] | None,
    weights: str,
    n_classes: int | None,
    in_channels: int | None,
) -> Model:
    source, _, rest = name.partition("/")
    if source not in SOURCES and ":" not in name:
        raise SpaceError(
            f"unknown model {name!r}: write timm/NAME, torchvision/NAME or package.module:factory"
        )
    if in_channels not in (None, 3) and source == "torchvision":
        raise SpaceError(
            f"models of torchvision take 3 channels, {name!r} too, not {in_channels}; build yours "
            "with as many, as a factory of your own"
        )
    is_file = weights not in (PRETRAINED, NONE)
    make, side = SOURCES[source](rest) if source in SOURCES else _factory(name)
    options: dict[str, Any] = {} if in_channels is None else {"in_chans": in_channels}  # of timm
    shape = _shape(side if example is None else example, in_channels or 3)
    network = make(weights == PRETRAINED, shape, options)
    if is_file:
        _load_file(network, weights, name)
    return Model(name, _own(network), shape)


Make = Callable[[bool, Shape, dict[str, Any]], nn.Module]


def _timm(name: str) -> tuple[Make, int]:
    timm = import_module("timm")
    if not timm.is_model(name):
        raise SpaceError(unknown_name("model of timm", name, _near(name, timm.list_models())))
    stated = timm.get_pretrained_cfg(name)
    side = stated.input_size[-1] if stated is not None else 224
    is_fixed = stated is not None and stated.fixed_input_size

    def make(is_pretrained: bool, shape: Shape, options: dict[str, Any]) -> nn.Module:
        if is_fixed and shape.height != side:
            options = {**options, "img_size": tuple(shape[1:])}
        return _fetch(
            f"timm/{name}",
            is_pretrained,
            lambda: timm.create_model(name, pretrained=is_pretrained, **options),
        )

    return make, side


def _torchvision(name: str) -> tuple[Make, int]:
    models = import_module("torchvision.models")
    known = models.list_models(module=models)
    if name not in known:
        raise SpaceError(unknown_name("model of torchvision", name, _near(name, known)))
    # Auxiliary scores, which these two give in training, are no part of the network that is used.
    extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}

    def make(is_pretrained: bool, shape: Shape, options: dict[str, Any]) -> nn.Module:
        weights = "DEFAULT" if is_pretrained else None
        more = {} if is_pretrained else extra | ({"aux_logits": False} if extra else {})
        network = _fetch(
            f"torchvision/{name}",
            is_pretrained,
            lambda: models.get_model(name, weights=weights, **more),
        )
        if extra:
            network.aux_logits = False  # type: ignore[assignment]
        return network

    return make, 299 if name == "inception_v3" else 224


def _factory(name: str) -> tuple[Make, int]:
    function = find_function(name)

    def make(is_pretrained: bool, shape: Shape, options: dict[str, Any]) -> nn.Module:
        try:
            network = function()
        except Exception as error:  # the user's code may raise anything
            raise SpaceError(f"the factory {name!r} failed: {error}") from error
        if not isinstance(network, nn.Module):
            raise SpaceError(f"the factory {name!r} gave {type(network).__name__}, not a module")
        return network

    return make, 224


SOURCES: dict[str, Callable[[str], tuple[Make, int]]] = {
    "timm": _timm,
    "torchvision": _torchvision,
}


def find_function(name: str) -> Callable[..., Any]:
    """What `package.module:function` names.

    Raises:
        SpaceError: the module cannot be imported, or has no such function.
    """
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SpaceError(
            f"cannot import {name!r}: {error}; write package.module:function, of a package that is "
            "installed or lies in the current folder (python -m), or on PYTHONPATH"
        ) from error
    if not callable(found):
        raise SpaceError(f"{name!r} is {type(found).__name__}, not a function")
    function: Callable[..., Any] = found
    return function


def _near(name: str, known: Sequence[str]) -> list[str]:
    """The known names that share their beginning, so that an error does not list a thousand."""
    near = [one for one in known if one.startswith(name[:4])]
    return sorted(near)[:20] or list(known)[:20]


def _fetch(name: str, is_pretrained: bool, make: Callable[[], nn.Module]) -> nn.Module:
    try:
        return make()
    except Exception as error:  # downloads fail in many ways, each library with its own errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if is_pretrained:
            raise SpaceError(
                f"the pretrained weights of {name} cannot be had ({reason}); give weights=FILE "
                "(.pt or .safetensors), or weights='none'"
            ) from error
        raise SpaceError(f"{name} cannot be made here: {reason}") from error


def _load_file(network: nn.Module, weights: str, name: str) -> None:
    path = Path(weights)
    if not path.is_file():
        raise SpaceError(
            f"no weights at {weights}; give a file (.pt or .safetensors), 'pretrained' or 'none'"
        )
    state = _read_state(path)
    # A run keeps what it started with, its number of classes included.
    own = network.state_dict()
    changed = [k for k, v in state.items() if k in own and own[k].shape != v.shape]
    linear = {k.rpartition(".")[0] for k in changed}
    if len(linear) == 1 and isinstance(network.get_submodule(min(linear)), nn.Linear):
        set_classes(network, min(linear), int(state[changed[0]].shape[0]))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()
        raise SpaceError(
            f"the weights {weights} do not fit {name}: {' '.join(reason[1:3]).strip()}"
        ) from error


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            loaded = import_module("safetensors.torch").load_file(str(path))
        else:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        for key in ("state_dict", "model"):  # as trainings of timm and torchvision wrap them
            if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
                loaded = loaded[key]
        if not isinstance(loaded, dict) or not all(isinstance(v, Tensor) for v in loaded.values()):
            raise ValueError("it holds no state dict of tensors")
    except Exception as error:  # a damaged file may raise anything
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SpaceError(f"cannot read the weights {path}: {reason}") from error
    state: dict[str, Tensor] = loaded
    return state


def set_classes(network: nn.Module, classifier: str | None, n_classes: int) -> None:
    """Put a linear layer of `n_classes` outputs, drawn from a fixed seed, in place of the old one.

    Raises:
        SpaceError: the network has no linear layer as its classifier.
    """
    if classifier is None:
        raise SpaceError(
            f"{type(network).__name__} ends in no linear layer, so its number of classes cannot be "
            "changed; build it with as many, as a factory of your own"
        )
    old = network.get_submodule(classifier)
    if not isinstance(old, nn.Linear):
        raise ValueError(f"{classifier} is no linear layer")
    with seeded(_SEED):
        new = nn.Linear(old.in_features, n_classes, old.bias is not None)
        nn.init.normal_(new.weight, 0.0, 0.01)
        if new.bias is not None:
            nn.init.zeros_(new.bias)
    parent, _, child = classifier.rpartition(".")
    network.get_submodule(parent)._modules[child] = new


def save_weights(path: str | os.PathLike[str], network: nn.Module) -> None:
    """Write the state of a network to a file that `load_model` takes as weights.

    Raises:
        StorageError: it cannot be written.
    """
    with atomic_path(path) as temporary:
        write_tensors(temporary, copy_state(network))
