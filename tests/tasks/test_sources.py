import numpy as np
import pytest
from PIL import Image

from hot.errors import DataError
from hot.tasks.sources import data_root, open_source, read_npz


def arrays(n=12, **changes):
    labels = np.arange(n) % 3
    pixels = np.random.default_rng(0).integers(0, 256, (n, 6, 5, 3), np.uint8)
    found = {"train_x": pixels, "train_y": labels, "test_x": pixels, "test_y": labels}
    return {k: v for k, v in {**found, **changes}.items() if v is not None}


def write(path, **content):
    np.savez(path, **content)
    return path


def make_folder(root, parts=("train", "test"), classes=("cat", "dog"), n=5):
    for part in parts:
        for number, name in enumerate(classes):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(n):
                pixels = np.full((9, 11, 3), 40 * number + index, np.uint8)
                Image.fromarray(pixels).save(folder / f"{index}.png")
    return root


def test_digits_are_all_there_and_use_the_whole_range():
    raw = open_source("digits")
    assert isinstance(raw.train.pixels, np.ndarray)
    assert raw.train.pixels.shape == (1797, 8, 8, 1)
    assert raw.train.pixels.max() == 255
    assert raw.class_names == tuple("0123456789")


def test_an_array_file_comes_back_as_it_is(tmp_path):
    content = arrays(class_names=np.array(["a", "b", "c"]))
    raw = open_source(str(write(tmp_path / "d.npz", **content)))
    np.testing.assert_array_equal(raw.train.pixels, content["train_x"])
    np.testing.assert_array_equal(raw.test.labels, content["test_y"])
    assert raw.val is None
    assert raw.class_names == ("a", "b", "c")


def test_floats_and_grey_arrays_are_taken(tmp_path):
    x = np.array([0.0, 0.5, 1.0]).repeat(4).reshape(12, 1, 1) * np.ones((12, 4, 4))
    raw = read_npz(write(tmp_path / "d.npz", **arrays(train_x=x)))
    assert raw.train.pixels.shape == (12, 4, 4, 1)
    assert set(np.unique(raw.train.pixels)) == {0, 128, 255}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_x": None}, ["train_x", "it has"]),
        ({"val_x": np.zeros((2, 4, 4), np.uint8)}, ["val_y"]),
        ({"train_y": np.arange(12) % 3 - 1}, ["train_y", "-1", "0 to"]),
        ({"test_y": np.full(12, 9)}, ["test_y", "9", "0 to 2"]),
        ({"train_y": np.arange(5)}, ["train_y", "12 integers"]),
        ({"train_y": np.linspace(0, 1, 12)}, ["train_y", "integers"]),
        ({"train_x": np.full((12, 4, 4), np.nan)}, ["train_x", "not finite", "image 0"]),
        ({"train_x": np.full((12, 4, 4), 3.5)}, ["train_x", "0..1", "3.5"]),
        ({"train_x": np.zeros((12, 4, 4), np.int64)}, ["train_x", "uint8", "int64"]),
        ({"train_x": np.zeros((12, 4), np.uint8)}, ["train_x", "(N, H, W)"]),
        ({"train_x": np.array([None] * 12)}, ["cannot read"]),
    ],
)
def test_a_wrong_array_is_named(tmp_path, changes, words):
    path = write(tmp_path / "d.npz", **arrays(**changes))
    with pytest.raises(DataError) as caught:
        read_npz(path)
    for word in [str(path), *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("keep", [0, 30, 400])
def test_a_truncated_array_file_is_one_clear_error(tmp_path, keep):
    path = write(tmp_path / "d.npz", **arrays())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="cannot read"):
        read_npz(path)


def test_a_folder_gives_its_splits_and_class_names(tmp_path):
    raw = open_source(str(make_folder(tmp_path, ("train", "val", "test"))))
    assert raw.class_names == ("cat", "dog")
    assert [len(part) for part in (raw.train, raw.val, raw.test)] == [10, 10, 10]
    first = next(raw.test.take(np.array([7])).pictures())
    assert first.shape == (9, 11, 3)
    assert (first == 42).all()


def test_classes_at_the_top_level_are_one_split(tmp_path):
    raw = open_source(str(make_folder(tmp_path, ("",))))
    assert len(raw.train) == 10
    assert raw.test is None


def test_a_class_without_images_is_named(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "train" / "emu").mkdir()
    with pytest.raises(DataError, match="'emu' has no images"):
        open_source(str(tmp_path))


def test_splits_of_different_classes_are_refused(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "test" / "dog").rename(tmp_path / "test" / "fox")
    with pytest.raises(DataError, match="different classes: dog, fox"):
        open_source(str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"not an image", None])
def test_a_damaged_image_is_named(tmp_path, content):
    raw = open_source(str(make_folder(tmp_path, n=1)))
    path = tmp_path / "train" / "dog" / "0.png"
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:500] if content is None else content)
    with pytest.raises(DataError, match=r"cannot read the image .*dog/0\.png"):
        list(raw.train.pictures())


def test_an_unknown_source_names_the_near_match():
    with pytest.raises(DataError, match="did you mean 'digits'"):
        open_source("digit")


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(DataError, match="neither"):
        open_source(str(tmp_path / "a.csv"))


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_a_set_that_is_not_here_says_where_and_how(tmp_path, monkeypatch, name):
    monkeypatch.setenv("HOT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"HOT_DATA.*download") as caught:
        open_source(name)
    assert str(tmp_path) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_data_lie_in_the_cache_folder_by_default(tmp_path, monkeypatch):
    monkeypatch.delenv("HOT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data_root() == tmp_path / "hot"
