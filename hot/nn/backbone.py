"""Spaces from models: every replaceable block of a network becomes a slot.

References:
    Molchanov et al., LANA: Latency Aware Network Acceleration, ECCV 2022: any block of a trained
    network may be replaced by any operator of a table, and the original stays among the choices.
"""

import copy
import hashlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hot.errors import SpaceError
from hot.files import read_yaml, validate
from hot.nn.blocks import example as noise
from hot.nn.discover import Discovery, Found, discover
from hot.nn.graft import Part, put
from hot.nn.recognise import Predicate
from hot.nn.seeded import seeded
from hot.nn.sources import Model, find_function, load_model, save_weights, set_classes
from hot.nn.template import Copies, Template, chain
from hot.space import (
    Backbone,
    Block,
    Choice,
    Foreign,
    Head,
    Layer,
    MenuRow,
    ModelSpec,
    Rules,
    Shape,
    Slot,
    Space,
    SpaceSpec,
    count_body,
    expand_menu,
)

log = logging.getLogger(__name__)

# Expansions down to a half suit blocks with wide ends (ResNet, ConvNeXt), those up to 6 blocks with
# narrow ends (MobileNet); `most_macs` leaves out what is far from the original.
DEFAULT_MENU = (
    MenuRow(operator="ir", expansion=(1, 3, 6), kernel=(3, 5)),
    MenuRow(operator="fused", expansion=(0.5, 1, 3, 6), kernel=(3,)),
    MenuRow(operator="sandglass", expansion=(2, 6), kernel=(3, 5)),
    MenuRow(operator="bottleneck", expansion=(0.25, 0.5), kernel=(3,), group=(0, 16)),
    MenuRow(operator="basic", expansion=(0.5, 1), kernel=(3,)),
    MenuRow(operator="plain", kernel=(3,), group=(0, 16)),
    MenuRow(operator="skip"),
)
_AGREES = 1e-4  # relative; how far a network may be from the one it was taken apart from


class _File(BaseModel):
    """What a YAML file says of the blocks of a model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blocks: tuple[str, ...] = ()
    predicate: str | None = None
    menu: tuple[MenuRow, ...] = ()
    tie: bool = False
    most_macs: Annotated[float, Field(gt=0)] = ModelSpec.most_macs


def space_from_model(
    model: nn.Module | str,
    example: Tensor | int | Sequence[int] | None = None,
    *,
    weights: str | os.PathLike[str] = "pretrained",
    n_classes: int | None = None,
    in_channels: int | None = None,
    blocks: Sequence[str] = (),
    predicate: Predicate | str | None = None,
    menu: Sequence[Mapping[str, object]] = (),
    tie: bool = False,
    most_macs: float = ModelSpec.most_macs,
    file: str | os.PathLike[str] | None = None,
) -> Space:
    """The space whose slots are the replaceable blocks of a model; the rest stays as it is.

    The choices of a slot are the original block with its weights, every legal operator of the menu,
    and skip where shapes allow. The model itself is not changed.

    Args:
        model: a module, or `timm/NAME`, `torchvision/NAME` or `package.module:factory`.
        example: a batch of images (B, C, H, W), its shape (C, H, W), or the resolution in pixels;
            None for the resolution that a named model states.
        weights: of a named model: `pretrained`, `none` (drawn from a fixed seed), or a file (.pt
            or .safetensors). A factory's `pretrained` is what it gives.
        n_classes: another number of outputs; the last linear layer is then drawn anew.
        in_channels: of the images, where `example` does not tell; the first convolution of a
            model of timm is adapted to them.
        blocks: class names of your blocks, dotted or not, with wildcards; known besides hot's.
        predicate: of (path, module), or `package.module:function`: decides alone what a block is.
        menu: rows as in the YAML of a space, `{"operator": "ir", "expansion": [3], "kernel": [3]}`.
        tie: equal consecutive blocks take one choice together.
        most_macs: leave choices out that have more multiply-accumulates than this many times
            those of the original.
        file: a YAML file with any of `blocks`, `predicate`, `menu`, `tie` and `most_macs`, where
            they are not given here.

    Raises:
        SpaceError: no such model or weights, it does not run on the example, or no block of it can
            be replaced; says why.
    """
    given = _File() if file is None else _read(Path(file))
    rows = validate(tuple[MenuRow, ...], list(menu), "menu", SpaceError)
    function = predicate if isinstance(predicate, str) else given.predicate
    options = ModelSpec(
        str(weights),
        tuple(blocks) or given.blocks,
        function,
        rows or given.menu,
        tie or given.tie,
        most_macs if most_macs != ModelSpec.most_macs else given.most_macs,
    )
    if options.most_macs <= 0:
        raise SpaceError(f"most_macs must be a positive number, not {options.most_macs!r}")
    found = load_model(model, example, options.weights, n_classes, in_channels)
    decide = predicate if callable(predicate) else function and find_function(function)
    space = _make_space(found, options, n_classes, decide or None)
    if isinstance(model, nn.Module) or callable(predicate):
        return space
    spec = SpaceSpec(
        model,
        resolution=found.shape.height,
        n_classes=n_classes,
        in_channels=in_channels,
        model=options,
    )
    return replace(space, spec=spec)


def load_model_space(spec: SpaceSpec, folder: Path | None = None) -> Space:
    """The space of a specification that has a model; with the weights that `folder` keeps, if any.

    Raises:
        SpaceError: what `space_from_model` raises.
    """
    options = spec.model
    if options is None:
        raise ValueError(f"{spec} names no model")
    space = space_from_model(
        spec.name,
        spec.resolution,
        weights=options.weights if folder is None else folder / _KEPT,
        n_classes=spec.n_classes,
        in_channels=spec.in_channels,
        blocks=options.blocks,
        predicate=options.predicate,
        menu=[row.model_dump(exclude_unset=True) for row in options.menu],
        tie=options.tie,
        most_macs=options.most_macs,
    )
    return replace(space, spec=spec) if folder is not None else space


_KEPT = "space.pt"


def keep_model_space(spec: SpaceSpec, folder: Path) -> SpaceSpec:
    """Keep the weights of a model's space in `folder`; its specification with the resolution.

    Raises:
        SpaceError: what `space_from_model` raises.
        StorageError: the folder cannot be written.
    """
    space = load_model_space(spec)
    if space.backbone is None or spec.model is None:
        raise ValueError(f"{spec} names no model")
    save_weights(folder / _KEPT, space.backbone.make())
    return replace(spec, resolution=space.resolution)


def _read(path: Path) -> _File:
    return validate(_File, read_yaml(path, "block file"), f"block file {path}", SpaceError)


def _make_space(
    found: Model, options: ModelSpec, n_classes: int | None, predicate: Predicate | None
) -> Space:
    """The space of a loaded network, which from here on is the template of all copies."""
    network = found.network.eval()
    seen = discover(network, found.shape, options.blocks, predicate)
    if n_classes is not None and seen.n_outputs != n_classes:
        set_classes(network, seen.classifier, n_classes)
        seen = discover(network, found.shape, options.blocks, predicate)
        if seen.n_outputs != n_classes:
            raise SpaceError(
                f"{found.name} cannot be given {n_classes} classes: it still has {seen.n_outputs} "
                "outputs; build it with as many, as a factory of your own"
            )
    if not seen.blocks:
        raise SpaceError(_nothing(found.name, seen))
    _check_graft(found, seen)
    rules = Rules(seen.activation)
    menu = expand_menu("menu", options.menu or DEFAULT_MENU)
    template = Template(network)
    slots, places = [], []
    for name, group in _groups(seen.blocks, options.tie):
        layers = tuple(_layer(template, block) for block in group)
        choices = _choices(layers, group, menu, rules, options.most_macs)
        slots.append(Slot(name, layers, choices, _ORIGINAL))
        places += [(f"{name}.{index}", block.paths) for index, block in enumerate(group)]
    backbone = Backbone(
        found.name,
        seen.digest,
        _digest_weights(network),
        seen.n_outputs,
        seen.counts,
        tuple(places),
        seen.classifier,
        seen.refused,
        Copies(template),
    )
    space = Space(
        re.sub(r"[^a-z0-9]+", "_", found.name.lower()).strip("_"),
        1.0,
        "slot" if options.tie else "layer",
        rules,
        found.shape,
        Block(()),
        tuple(slots),
        Head(Shape(seen.n_outputs, 1, 1), None, seen.n_outputs),
        backbone=backbone,
    )
    if space.size < 2:
        raise SpaceError(
            f"no operator of the menu can stand at any of the {len(slots)} blocks of {found.name}, "
            "or all need too many multiply-accumulates: give another menu, or a larger most_macs"
        )
    return space


_ORIGINAL = Choice("original")


def _nothing(name: str, seen: Discovery) -> str:
    """Why a network has no slots."""
    reasons: dict[str, list[str]] = {}
    for path, reason in seen.refused:
        reasons.setdefault(reason, []).append(path)
    rows = [
        f"{paths[0]!r}{f' and {len(paths) - 1} more' if len(paths) > 1 else ''}: {reason}"
        for reason, paths in list(reasons.items())[:8]
    ]
    why = "; ".join(rows) or "it holds no module with a spatial convolution that looks like a block"
    return (
        f"no block of {name} can be replaced: {why}. Name your blocks' classes with 'blocks', or "
        "choose them with 'predicate'"
    )


def _groups(blocks: Sequence[Found], tie: bool) -> Iterator[tuple[str, list[Found]]]:
    """The blocks of each slot with the slot's name."""
    groups: list[list[Found]] = []
    for block in blocks:
        before = groups[-1][-1] if groups and tie else None
        is_equal = before is not None and (before.digest, before.input, before.output) == (
            block.digest,
            block.input,
            block.output,
        )
        if is_equal:
            groups[-1].append(block)
        else:
            groups.append([block])
    used: set[str] = set()
    for group in groups:
        name = stem = re.sub(r"\W+", "_", group[0].paths[0], flags=re.ASCII)
        while name in used:
            name = f"{stem}_{len(used)}"
        used.add(name)
        yield name, group


def _layer(template: Template, block: Found) -> Layer:
    make = Copies(template, block.paths)
    original = Foreign(block.name, block.digest, block.output, block.counts, make)
    return Layer(block.input, block.output.channels, block.stride, original)


def _choices(
    layers: tuple[Layer, ...],
    blocks: list[Found],
    menu: tuple[Choice, ...],
    rules: Rules,
    most_macs: float,
) -> tuple[Choice, ...]:
    """The original and the legal choices of a menu; of those that build equal blocks, the first."""
    limit = most_macs * blocks[0].counts.macs
    kept, seen = [_ORIGINAL], set()
    for choice in menu:
        if choice == _ORIGINAL or not all(choice.is_legal(layer) for layer in layers):
            continue
        body = choice.block(layers[0], rules)
        if any(body.output(x.input) != x.output for x in layers):
            raise SpaceError(
                f"the operator {choice.operator!r} turns {layers[0].input} into "
                f"{body.output(layers[0].input)}, not into {layers[0].output}; mend its body, or "
                "say in is_legal where it may stand"
            )
        if isinstance(body, Block) and not body.convs and not all(b.has_skip for b in blocks):
            continue
        counts = count_body(body, layers[0].input)
        if body in seen or (limit and counts.macs > limit):
            continue
        seen.add(body)
        kept.append(choice)
    return tuple(kept)


def _check_graft(found: Model, seen: Discovery) -> None:
    """Raise `SpaceError` unless the network still runs with its blocks behind places of parts."""
    network = copy.deepcopy(found.network).eval()
    with seeded(0):
        image = noise(found.shape)
        expected = found.network(image)
        for index, block in enumerate(seen.blocks):
            put(network, block.paths, Part(f"check.{index}", chain(network, block.paths)))
        try:
            got = network(image)
        except (AttributeError, TypeError, IndexError, KeyError) as error:
            raise SpaceError(
                f"{found.name} looks into its own blocks, so they cannot be replaced ({error}); "
                "leave those blocks out with 'predicate'"
            ) from error
    scale = float(expected.abs().max()) or 1.0
    if not torch.allclose(got, expected, rtol=_AGREES, atol=_AGREES * scale):
        log.warning("%s gives other scores at every call: its evaluation is random", found.name)


def _digest_weights(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for key, value in network.state_dict().items():
        digest.update(key.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
