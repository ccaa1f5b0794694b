"""Labelled images in memory: splits at a space's input shape, from any source."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image

from hot.errors import DataError
from hot.space import Shape
from hot.tasks.sources import RawData, RawSplit, open_source

_TEST_FRACTION = 0.2  # of a source that has no test split of its own
_MIN_PER_CLASS = 2  # training images a class needs, so that one can be held out


@dataclass(frozen=True)
class DataOptions:
    """How much of a source is used and how it is split; see `load_images`."""

    seed: int = 0
    val_fraction: float = 0.15
    n_train: int | None = None
    n_val: int | None = None
    n_test: int | None = None
    download: bool = False


@dataclass(frozen=True, eq=False)
class Split:
    """Images uint8 (N, C, H, W) and their labels int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class ImageData:
    """The three splits of a source.

    Attributes:
        class_names: by label.
        mean, std: of the training split, one a channel, of pixels scaled to 0..1.
    """

    train: Split
    val: Split
    test: Split
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def normalise(self, images: np.ndarray) -> np.ndarray:
        """Images uint8 (N, C, H, W) as float32 with the training split's mean 0 and deviation 1."""
        mean = np.array(self.mean, np.float32).reshape(1, -1, 1, 1)
        std = np.array(self.std, np.float32).reshape(1, -1, 1, 1)
        return (images.astype(np.float32) / np.float32(255) - mean) / std

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all pixels and labels, in hexadecimal."""
        sha = hashlib.sha256()
        for split in (self.train, self.val, self.test):
            sha.update(repr(split.images.shape).encode())
            sha.update(np.ascontiguousarray(split.images))
            sha.update(np.ascontiguousarray(split.labels))
        return sha.hexdigest()


def load_images(
    source: str,
    shape: Shape,
    *,
    seed: int = 0,
    val_fraction: float = 0.15,
    n_train: int | None = None,
    n_val: int | None = None,
    n_test: int | None = None,
    download: bool = False,
) -> ImageData:
    """The images of `source`, resized to `shape` (bilinear, antialiased; grey and RGB converted).

    Args:
        source: `digits`, `cifar10`, `fashion_mnist`, a `.npz` file or an image folder; see
            `hot.tasks.sources`.
        shape: the input shape of a space.
        seed: of the splits the source does not come with, and of the subsets.
        val_fraction: part of the training images held out where the source has no val split.
        n_train, n_val, n_test: at most all; a subset keeps the class frequencies.
        download: fetch a torchvision data set that is not here yet.

    Raises:
        DataError: the source is missing, damaged, or does not make a classification problem.
    """
    if not 0 < val_fraction < 1:
        raise DataError(f"val_fraction must lie between 0 and 1, not {val_fraction!r}")
    raw = open_source(source, download)
    rng = np.random.default_rng(seed)
    parts = _make_splits(raw, val_fraction, rng)
    wanted = {"train": n_train, "val": n_val, "test": n_test}
    parts = {name: _subset(source, name, part, wanted[name], rng) for name, part in parts.items()}
    _check_classes(source, parts["train"].labels, raw.class_names)
    train, val, test = (_decode(source, parts[name], shape) for name in wanted)
    mean, std = _channel_statistics(train.images)
    return ImageData(train, val, test, raw.class_names, mean, std)


def _make_splits(
    raw: RawData, val_fraction: float, rng: np.random.Generator
) -> dict[str, RawSplit]:
    train, val, test = raw.train, raw.val, raw.test
    if test is None:
        test, train = _hold_out(train, round(_TEST_FRACTION * len(train)), rng)
    if val is None:
        val, train = _hold_out(train, round(val_fraction * len(train)), rng)
    return {"train": train, "val": val, "test": test}


def _hold_out(part: RawSplit, n: int, rng: np.random.Generator) -> tuple[RawSplit, RawSplit]:
    order = _stratified_order(part.labels, rng)
    return part.take(np.sort(order[:n])), part.take(np.sort(order[n:]))


def _stratified_order(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of which every beginning has nearly the class frequencies of the whole."""
    rank = np.empty(len(labels))
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        rank[members] = (np.arange(len(members)) + rng.random()) / len(members)
    return np.argsort(rank, kind="stable")


def _subset(
    source: str, name: str, part: RawSplit, n: int | None, rng: np.random.Generator
) -> RawSplit:
    if n is not None and not 0 < n <= len(part):
        raise DataError(f"n_{name} must lie between 1 and the {len(part)} of {source}, not {n}")
    if not len(part):
        raise DataError(f"the {name} split of {source} has no images; add some")
    return part if n is None else _hold_out(part, n, rng)[0]


def _check_classes(source: str, labels: np.ndarray, class_names: tuple[str, ...]) -> None:
    if len(class_names) < 2:
        raise DataError(f"{source} has {len(class_names)} class; classification needs at least 2")
    counts = np.bincount(labels, minlength=len(class_names))
    fewest = int(counts.argmin())
    if counts[fewest] == 0:
        raise DataError(
            f"the class {class_names[fewest]!r} of {source} has no training images; "
            "add some or remove the class"
        )
    if counts[fewest] < _MIN_PER_CLASS:
        raise DataError(
            f"the training split of {source} is too small: class {class_names[fewest]!r} has "
            f"{counts[fewest]} image, at least {_MIN_PER_CLASS} are needed; use more images"
        )


def _decode(source: str, part: RawSplit, shape: Shape) -> Split:
    pixels = part.pixels
    if isinstance(pixels, np.ndarray) and pixels.shape[1:] == (*shape[1:], shape.channels):
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    else:
        images = np.empty((len(part), *shape), np.uint8)
        for index, picture in enumerate(part.pictures()):
            images[index] = _resize(source, picture, shape)
    return Split(images, part.labels.astype(np.int64))


def _resize(source: str, picture: np.ndarray, shape: Shape) -> np.ndarray:
    """A picture uint8 (H, W, C) as uint8 of `shape`."""
    channels = picture.shape[2]
    if channels != shape.channels:
        if {channels, shape.channels} != {1, 3}:
            raise DataError(
                f"an image of {source} has {channels} channels, the space takes {shape.channels}; "
                "only grey and RGB are converted into each other"
            )
        mode = "RGB" if shape.channels == 3 else "L"
        converted = Image.fromarray(picture.squeeze(2) if channels == 1 else picture).convert(mode)
        picture = np.asarray(converted).reshape(*picture.shape[:2], shape.channels)
    if picture.shape[:2] == shape[1:]:
        return picture.transpose(2, 0, 1)
    size = (shape.width, shape.height)
    planes = [
        np.asarray(Image.fromarray(plane).resize(size, Image.Resampling.BILINEAR))
        for plane in np.ascontiguousarray(picture.transpose(2, 0, 1))
    ]
    return np.stack(planes)


def _channel_statistics(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = [], []
    for channel in range(images.shape[1]):
        counts = np.bincount(images[:, channel].reshape(-1), minlength=256).astype(np.float64)
        levels = np.arange(256) / 255
        average = float(counts @ levels / counts.sum())
        deviation = float(np.sqrt(counts @ (levels - average) ** 2 / counts.sum()))
        mean.append(average)
        std.append(max(deviation, 1 / 255))
    return tuple(mean), tuple(std)
