"""Weights that architectures of a space start from: the original network's, and distilled blocks.

References:
    Molchanov et al., LANA: Latency Aware Network Acceleration, ECCV 2022, section 3.
    Bercovich et al., Puzzle: Distillation-Based NAS for Inference-Optimized LLMs, 2024, section 3.
"""

import hashlib
import logging
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from torch import Tensor, nn

from hot.errors import InputError
from hot.files import atomic_path, sha256
from hot.nn.build import build
from hot.nn.tensors import copy_state, load_state, read_tensors, write_tensors
from hot.space import Architecture, Choice, Space

_SCHEMA = 1
_ADVICE = "they are of another version of the network, remove them and distil again"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Library:
    """The weights of a space in a folder; made by the scorer `distill`, read by trainings.

    Layout: `original.pt` (the trained original network and its validation metric) and
    `blocks/PART/CHOICE.pt` (a distilled choice of one part, `<slot>.<layer>`). Every file is whole
    or absent, names the space that it belongs to, and is read without running code in it, so that
    what was stopped goes on with the blocks that are missing.

    Attributes:
        folder: made by the first save.
        space: what the weights fit.
    """

    folder: Path
    space: Space

    def save_original(self, module: nn.Module, metric: float) -> None:
        """Keep the weights of the original network and its validation metric.

        Raises:
            StorageError: the folder cannot be written.
        """
        self._save(self._original, {"metric": float(metric)}, module)

    def has_original(self) -> bool:
        """Whether `original` has what to load; a file cut short counts as none, with a warning."""
        return _is_whole(self._original)

    def original(self) -> nn.Module:
        """The original network with its trained weights, in evaluation mode on the processor.

        Raises:
            InputError: there is none yet, or its file is damaged or of another space.
        """
        module = build(self.space, self.space.original)
        load_state(module, self._read(self._original)["state"], self._original, _ADVICE)
        return module.eval()

    @property
    def original_metric(self) -> float:
        """The original network's validation metric, as it was saved."""
        return float(self._read(self._original)["metric"])

    def save_block(self, part: str, choice: Choice, module: nn.Module) -> None:
        """Keep the weights of a choice of one part.

        Raises:
            StorageError: the folder cannot be written.
        """
        self._save(self._block(part, choice), {"part": part, "choice": choice.key}, module)

    def has_block(self, part: str, choice: Choice) -> bool:
        """Whether `block_state` has any; a file cut short counts as none, with a warning."""
        return _is_whole(self._block(part, choice))

    def block_state(self, part: str, choice: Choice) -> dict[str, Tensor] | None:
        """The weights of a choice of one part; None where there are none.

        Raises:
            InputError: the file is damaged, or of another space, part or choice.
        """
        path = self._block(part, choice)
        if not path.is_file():
            return None
        content = self._read(path)
        if (content.get("part"), content.get("choice")) != (part, choice.key):
            raise InputError(
                f"{path} holds the block {content.get('choice')!r} of {content.get('part')!r}, "
                f"not {choice.key!r} of {part!r}; remove it and distil again"
            )
        state: dict[str, Tensor] = content["state"]
        return state

    def assemble(self, architecture: Architecture, dropout: float = 0.0) -> nn.Module:
        """The architecture as it starts a training, in training mode on the processor.

        The fixed parts and all parts that keep the original choice have the original's weights, the
        others the distilled ones. A part without any keeps its fresh initialisation, drawn from
        torch's global generator, and is named in the log.

        Raises:
            InputError: there is no original, or a file is damaged or of another space.
            SpaceError: the architecture is no point of the space.
        """
        module = build(self.space, architecture, dropout)
        original = build(self.space, self.space.original)
        load_state(original, self._read(self._original)["state"], self._original, _ADVICE)
        _load_fixed(module, original, [name for name, _, _ in self._parts(architecture)])
        fresh = []
        for name, choice, is_original in self._parts(architecture):
            part = module.part(name)
            if is_original:
                part.load_state_dict(original.part(name).state_dict())
            elif (state := self.block_state(name, choice)) is not None:
                load_state(part, state, self._block(name, choice), _ADVICE)
            elif part.state_dict():
                fresh.append(f"{name} ({choice.key})")
        if fresh:
            log.warning("no distilled weights for %s: freshly initialised", ", ".join(fresh))
        return module

    @property
    def digest(self) -> str:
        """What identifies all weights of the library."""
        return self._hash(sorted(self.folder.rglob("*.pt")))

    def digest_of(self, architecture: Architecture) -> str:
        """What identifies the weights that `assemble(architecture)` loads.

        It stays as it is when blocks of other choices join the library. That of the space's
        original architecture identifies the original network alone.
        """
        blocks = [
            self._block(name, choice)
            for name, choice, is_original in self._parts(architecture)
            if not is_original
        ]
        return self._hash([self._original, *blocks])

    @property
    def _original(self) -> Path:
        return self.folder / "original.pt"

    def _block(self, part: str, choice: Choice) -> Path:
        return self.folder / "blocks" / quote(part, safe="") / f"{quote(choice.key, safe='')}.pt"

    def _parts(self, architecture: Architecture) -> Iterator[tuple[str, Choice, bool]]:
        """Every part with its choice and whether that is the slot's original."""
        self.space.check(architecture)
        for slot, choice in zip(self.space.slots, architecture.choices, strict=True):
            for name in slot.parts:
                yield name, choice, choice == slot.original

    def _hash(self, paths: list[Path]) -> str:
        files = [
            f"{path.relative_to(self.folder)} {sha256(path)}" for path in paths if path.is_file()
        ]
        return hashlib.sha256("\n".join(files).encode()).hexdigest()

    def _save(self, path: Path, facts: dict[str, Any], module: nn.Module) -> None:
        content = {"schema": _SCHEMA, "space": self.space.key, **facts, "state": copy_state(module)}
        with atomic_path(path) as temporary:
            write_tensors(temporary, content)

    def _read(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            raise InputError(
                f"the library {self.folder} has no {path.relative_to(self.folder)}; "
                "search with the quality 'distill' first, which makes it"
            )
        content = read_tensors(path)
        if content.get("schema") != _SCHEMA:
            raise InputError(
                f"{path} is no file of a library of schema {_SCHEMA}; remove it and distil again"
            )
        if content.get("space") != self.space.key:
            raise InputError(
                f"{path} belongs to the space {content.get('space')!r}, not to {self.space.key!r}; "
                "choose the library of this space, or another folder"
            )
        return content


def _is_whole(path: Path) -> bool:
    if not path.is_file():
        return False
    if not zipfile.is_zipfile(path):
        log.warning("%s is damaged; it is made again", path)
        return False
    return True


def _load_fixed(module: nn.Module, original: nn.Module, parts: list[str]) -> None:
    """Copy the weights of all that stands outside the parts; both have the same keys there."""
    ours, theirs = _fixed_keys(module, parts), _fixed_keys(original, parts)
    if ours != theirs:
        raise ValueError(f"fixed parts differ: {sorted(ours ^ theirs)}")
    state = original.state_dict()
    module.load_state_dict({key: state[key] for key in ours}, strict=False)


def _fixed_keys(module: Any, parts: list[str]) -> set[str]:
    inside = {id(module.part(name)) for name in parts}
    prefixes = tuple(f"{name}." for name, part in module.named_modules() if id(part) in inside)
    return {key for key in module.state_dict() if not key.startswith(prefixes)}
