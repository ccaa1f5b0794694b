"""A format of artifacts: how a torch module becomes a file that a device runs, at a precision."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from torch import nn

from hot.records import Artifact
from hot.space import Shape


class Quantize(Protocol):
    """Writes an fp32 artifact at another precision."""

    def __call__(
        self,
        artifact: Artifact,
        precision: str,
        samples: Iterable[np.ndarray],
        path: Path,
        method: str = ...,
        is_range_reduced: bool = ...,
    ) -> Artifact:
        """See `hot.export.quantize`."""


@dataclass(frozen=True)
class Format:
    """A row of `FORMATS`.

    Attributes:
        suffix: of its files.
        precisions: that it can be written at.
        export: writes a module that takes a shape (C, H, W) as fp32.
        export_all: does so with many modules; the files are the same.
        quantize: writes an fp32 artifact at a precision.
    """

    suffix: str
    precisions: tuple[str, ...]
    export: Callable[[nn.Module, Shape, Path], Artifact]
    export_all: Callable[[Sequence[nn.Module], Sequence[Shape], Sequence[Path]], list[Artifact]]
    quantize: Quantize
