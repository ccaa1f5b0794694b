"""Where images come from: embedded digits, torchvision's loaders, array files, image folders."""

import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from hot.errors import DataError, unknown_name

_IMAGE_SUFFIXES = {
    ".png",
    ".jpg",
    ".jpeg",
    ".bmp",
    ".gif",
    ".ppm",
    ".pgm",
    ".tif",
    ".tiff",
    ".webp",
}


@dataclass(frozen=True, eq=False)
class RawSplit:
    """Pixels as they come: uint8 (N, H, W, C), or image files; and labels (N,)."""

    pixels: np.ndarray | tuple[Path, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "RawSplit":
        """The images at `indices`, in that order."""
        if isinstance(self.pixels, np.ndarray):
            return RawSplit(self.pixels[indices], self.labels[indices])
        return RawSplit(tuple(self.pixels[i] for i in indices), self.labels[indices])

    def pictures(self) -> Iterator[np.ndarray]:
        """Every picture, uint8 (H, W, C)."""
        if isinstance(self.pixels, np.ndarray):
            yield from self.pixels
        else:
            yield from map(_read_picture, self.pixels)


@dataclass(frozen=True, eq=False)
class RawData:
    """A source: a val or test split that it does not come with is None."""

    train: RawSplit
    val: RawSplit | None
    test: RawSplit | None
    class_names: tuple[str, ...]


def open_source(source: str, download: bool = False) -> RawData:
    """The data set called `source`, or the one in the `.npz` file or image folder at that path.

    Raises:
        DataError: neither a known name nor a path, not here yet, or damaged.
    """
    if source in SOURCES:
        return SOURCES[source](download)
    path = Path(source).expanduser()
    if path.is_dir():
        return read_folder(path)
    if path.is_file() and path.suffix == ".npz":
        return read_npz(path)
    if path.exists():
        raise DataError(f"{path} is neither a .npz file nor a folder of images; convert it")
    raise DataError(f"{unknown_name('data source', source, SOURCES)}; or give an existing path")


def read_digits(download: bool) -> RawData:
    """scikit-learn's 1,797 grey 8x8 handwritten digits; nothing is downloaded."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., None]
    names = tuple(str(name) for name in digits.target_names)
    return RawData(RawSplit(pixels, digits.target.astype(np.int64)), None, None, names)


def read_cifar10(download: bool) -> RawData:
    """CIFAR-10 (Krizhevsky 2009): 50,000 + 10,000 RGB images of 32x32."""
    from torchvision.datasets import CIFAR10

    return _read_torchvision("cifar10", CIFAR10, download)


def read_fashion_mnist(download: bool) -> RawData:
    """Fashion-MNIST (Xiao et al. 2017): 60,000 + 10,000 grey images of 28x28."""
    from torchvision.datasets import FashionMNIST

    return _read_torchvision("fashion_mnist", FashionMNIST, download)


SOURCES: dict[str, Callable[[bool], RawData]] = {
    "digits": read_digits,
    "cifar10": read_cifar10,
    "fashion_mnist": read_fashion_mnist,
}


def data_root() -> Path:
    """Where torchvision's data sets lie: `$HOT_DATA`, or `hot` in the user's cache folder."""
    if os.environ.get("HOT_DATA"):
        return Path(os.environ["HOT_DATA"]).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "hot"


def _read_torchvision(name: str, kind: Callable[..., object], download: bool) -> RawData:
    root = data_root()
    try:
        parts = [kind(root, train=train, download=download) for train in (True, False)]
    except (RuntimeError, OSError, EOFError, ValueError) as error:
        raise DataError(
            f"no usable {name} in {root} ({error}); set HOT_DATA to the folder that holds it, "
            f'or fetch it: python -c "from hot.tasks.sources import open_source; '
            f"open_source('{name}', download=True)\""
        ) from error
    splits = []
    for part in parts:
        pixels = np.asarray(part.data)  # type: ignore[attr-defined]
        labels = np.asarray(part.targets)  # type: ignore[attr-defined]
        splits.append(RawSplit(pixels.reshape(*pixels.shape[:3], -1), labels.astype(np.int64)))
    names = tuple(parts[0].classes)  # type: ignore[attr-defined]
    return RawData(splits[0], None, splits[1], names)


def read_npz(path: Path) -> RawData:
    """Arrays in one file: `train_x`, `train_y`, `test_x`, `test_y`.

    At option also `val_x`, `val_y` and `class_names`. `_x` is uint8 (N, H, W) or
    (N, H, W, C), or floats in 0..1;
    `_y` holds integer labels from 0.

    Raises:
        DataError: damaged, or an array is missing or not of this form; names file and array.
    """
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise DataError(f"cannot read {path}: {error}; make the file again") from error
    for name in ("train_x", "train_y", "test_x", "test_y"):
        if name not in arrays:
            raise DataError(f"{path} has no array {name!r}; it has {', '.join(sorted(arrays))}")
    labels = {name: _check_labels(path, arrays, name) for name in ("train", "val", "test")}
    if "class_names" in arrays:
        names = tuple(str(name) for name in arrays["class_names"].reshape(-1))
    else:
        train_labels = labels["train"]
        highest = -1 if train_labels is None else int(train_labels.max(initial=-1))
        names = tuple(str(label) for label in range(highest + 1))
    train, val, test = (_npz_split(path, arrays, part, labels[part], names) for part in labels)
    if train is None:
        raise ValueError("train_x was checked above")
    return RawData(train, val, test, names)


def _check_labels(path: Path, arrays: dict[str, np.ndarray], part: str) -> np.ndarray | None:
    if f"{part}_x" not in arrays and f"{part}_y" not in arrays:
        return None
    for name in (f"{part}_x", f"{part}_y"):
        if name not in arrays:
            raise DataError(f"{path} has no array {name!r}; it has {', '.join(sorted(arrays))}")
    labels = arrays[f"{part}_y"]
    n = len(arrays[f"{part}_x"]) if arrays[f"{part}_x"].ndim else 0
    if labels.dtype.kind not in "iu" or labels.size != n:
        raise DataError(
            f"{path}: {part}_y must hold {n} integers, one an image, "
            f"not {labels.dtype} {labels.shape}"
        )
    return labels.reshape(-1).astype(np.int64)


def _npz_split(
    path: Path,
    arrays: dict[str, np.ndarray],
    part: str,
    labels: np.ndarray | None,
    names: tuple[str, ...],
) -> RawSplit | None:
    if labels is None:
        return None
    wrong = labels[(labels < 0) | (labels >= len(names))]
    if wrong.size:
        raise DataError(
            f"{path}: {part}_y holds the label {wrong[0]}, allowed are 0 to {len(names) - 1}"
        )
    return RawSplit(_check_pixels(path, f"{part}_x", arrays[f"{part}_x"]), labels)


def _check_pixels(path: Path, name: str, pixels: np.ndarray) -> np.ndarray:
    if pixels.ndim not in (3, 4):
        raise DataError(f"{path}: {name} must be (N, H, W) or (N, H, W, C), not {pixels.shape}")
    if pixels.dtype.kind == "f":
        if not np.isfinite(pixels).all():
            where = np.argwhere(~np.isfinite(pixels))[0]
            raise DataError(f"{path}: {name} is not finite in image {where[0]}; mend the data")
        if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 1):
            raise DataError(
                f"{path}: floats of {name} must lie in 0..1, they lie in "
                f"{pixels.min():.3g}..{pixels.max():.3g}; scale them or store uint8"
            )
        pixels = np.rint(pixels * 255).astype(np.uint8)
    if pixels.dtype != np.uint8:
        raise DataError(f"{path}: {name} must be uint8 or floats in 0..1, not {pixels.dtype}")
    return pixels if pixels.ndim == 4 else pixels[..., None]


def read_folder(path: Path) -> RawData:
    """Image files in `[train/ val/ test/]CLASS/`; the classes are numbered in order of name.

    Raises:
        DataError: a class has no images, or the splits have different classes; names them.
    """
    if not (path / "train").is_dir():
        names, split = _read_classes(path, None)
        return RawData(split, None, None, names)
    names, train = _read_classes(path / "train", None)
    others = [
        _read_classes(path / part, names)[1] if (path / part).is_dir() else None
        for part in ("val", "test")
    ]
    return RawData(train, others[0], others[1], names)


def _read_classes(path: Path, known: tuple[str, ...] | None) -> tuple[tuple[str, ...], RawSplit]:
    folders = sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    names = tuple(folder.name for folder in folders)
    if known is not None and names != known:
        odd = sorted(set(names) ^ set(known))
        raise DataError(
            f"{path} and the train folder have different classes: {', '.join(odd)}; "
            "every class needs a folder in both"
        )
    files: list[Path] = []
    labels: list[int] = []
    for label, folder in enumerate(folders):
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES)
        if not found:
            raise DataError(
                f"the class {folder.name!r} has no images in {folder}; "
                f"add some ({', '.join(sorted(_IMAGE_SUFFIXES))}) or remove the folder"
            )
        files += found
        labels += [label] * len(found)
    return names, RawSplit(tuple(files), np.array(labels, np.int64))


def _read_picture(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            mode = "L" if image.mode in ("L", "1") else "RGB"
            pixels = np.asarray(image.convert(mode))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"cannot read the image {path}: {error}; replace or remove it") from error
    return pixels.reshape(*pixels.shape[:2], -1)
