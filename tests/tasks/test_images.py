import numpy as np
import pytest
from PIL import Image

from hot.errors import DataError
from hot.space import Shape
from hot.tasks import load_images

DIGITS = Shape(1, 16, 16)


def save(path, labels, side=8, channels=3, **more):
    n = len(labels)
    x = np.random.default_rng(1).integers(0, 256, (n, side, side, channels), np.uint8)
    content = {"train_x": x, "train_y": labels, "test_x": x, "test_y": labels, **more}
    np.savez(path, **content)
    return str(path), x


def test_digits_split_is_disjoint_complete_and_stratified():
    data = load_images("digits", DIGITS)
    sizes = [len(part) for part in (data.train, data.val, data.test)]
    assert sum(sizes) == 1797
    assert sizes[2] == round(0.2 * 1797)
    whole = np.bincount(np.concatenate([p.labels for p in (data.train, data.val, data.test)]))
    for part in (data.train, data.val, data.test):
        expected = whole * len(part) / 1797
        assert np.abs(np.bincount(part.labels) - expected).max() <= 1.5
    pixels = np.concatenate([p.images.reshape(len(p), -1) for p in (data.train, data.test)])
    assert len(np.unique(pixels, axis=0)) == len(pixels)


def test_the_same_seed_gives_the_same_splits_and_another_seed_others():
    first, again, other = (load_images("digits", DIGITS, seed=s) for s in (3, 3, 4))
    assert first.digest == again.digest
    assert first.digest != other.digest


def test_a_subset_has_the_size_asked_for_and_the_class_frequencies():
    data = load_images("digits", DIGITS, n_train=100, n_val=50, n_test=20)
    assert [len(p) for p in (data.train, data.val, data.test)] == [100, 50, 20]
    assert np.bincount(data.train.labels).min() >= 8
    assert np.bincount(data.train.labels).max() <= 12


def test_images_become_channels_first_in_the_spaces_shape(tmp_path):
    path, x = save(tmp_path / "d.npz", np.arange(40) % 2)
    data = load_images(path, Shape(3, 8, 8))
    np.testing.assert_array_equal(data.test.images, x.transpose(0, 3, 1, 2))
    assert data.test.images.flags.c_contiguous
    assert data.test.labels.dtype == np.int64


def test_resizing_down_averages_and_up_keeps_flat_areas(tmp_path):
    x = np.zeros((40, 8, 8, 1), np.uint8)
    x[:, :, 4:] = 200
    path, _ = save(tmp_path / "d.npz", np.arange(40) % 2, train_x=x, test_x=x)
    small = load_images(path, Shape(1, 1, 1)).test.images
    assert (np.abs(small.astype(int) - 100) <= 1).all()
    large = load_images(path, Shape(1, 16, 16)).test.images
    assert (large[..., :6] == 0).all()
    assert (large[..., 10:] == 200).all()


def test_grey_and_colour_are_converted_into_each_other(tmp_path):
    path, x = save(tmp_path / "d.npz", np.arange(40) % 2)
    grey = load_images(path, Shape(1, 8, 8)).test.images
    by_hand = x.astype(float) @ [0.299, 0.587, 0.114]
    assert np.abs(grey[:, 0] - by_hand).max() <= 1
    path, y = save(tmp_path / "g.npz", np.arange(40) % 2, channels=1)
    colour = load_images(path, Shape(3, 8, 8)).test.images
    np.testing.assert_array_equal(colour, y.transpose(0, 3, 1, 2).repeat(3, 1))


def test_other_channel_counts_are_kept_or_refused(tmp_path):
    path, _ = save(tmp_path / "d.npz", np.arange(40) % 2, side=4, channels=5)
    assert load_images(path, Shape(5, 8, 8)).test.images.shape == (40, 5, 8, 8)
    with pytest.raises(DataError, match="5 channels, the space takes 3"):
        load_images(path, Shape(3, 8, 8))


def test_normalised_training_images_have_mean_0_and_deviation_1():
    data = load_images("digits", DIGITS)
    x = data.normalise(data.train.images)
    assert x.dtype == np.float32
    assert abs(x.mean(dtype=np.float64)) < 1e-5
    assert abs(x.std(dtype=np.float64) - 1) < 1e-4
    assert data.mean[0] == pytest.approx((data.train.images / 255).mean())
    assert data.std[0] == pytest.approx((data.train.images / 255).std())


def test_a_constant_channel_does_not_divide_by_zero(tmp_path):
    x = np.full((40, 8, 8, 3), 7, np.uint8)
    path, _ = save(tmp_path / "d.npz", np.arange(40) % 2, train_x=x)
    data = load_images(path, Shape(3, 8, 8))
    assert np.isfinite(data.normalise(data.train.images)).all()


def test_given_validation_arrays_are_used(tmp_path):
    labels = np.arange(40) % 2
    val = np.full((6, 8, 8, 3), 9, np.uint8)
    path, _ = save(tmp_path / "d.npz", labels, val_x=val, val_y=np.arange(6) % 2)
    data = load_images(path, Shape(3, 8, 8))
    assert len(data.train) == 40
    assert (data.val.images == 9).all()


def test_an_image_folder_is_split_when_it_has_no_splits(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index in range(20):
            Image.new("L", (10, 6), index).save(tmp_path / name / f"{index:02}.png")
    data = load_images(str(tmp_path), Shape(1, 8, 8))
    assert [len(p) for p in (data.train, data.val, data.test)] == [27, 5, 8]
    assert data.class_names == ("a", "b")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros(40, np.int64), "has 1 class; classification needs at least 2"),
        (np.where(np.arange(40) % 2, 2, 0), "class '1' .* has no training images"),
        (np.arange(40), "too small: class '.*' has 1 image|has no training images"),
    ],
)
def test_labels_that_make_no_problem_are_refused(tmp_path, labels, words):
    path, _ = save(tmp_path / "d.npz", labels)
    with pytest.raises(DataError, match=words):
        load_images(path, Shape(3, 8, 8))


@pytest.mark.parametrize("option", [{"n_train": 5000}, {"n_test": 0}, {"val_fraction": 1.0}])
def test_an_impossible_split_is_refused(option):
    with pytest.raises(DataError, match=next(iter(option))):
        load_images("digits", DIGITS, **option)


def test_a_test_split_without_images_is_refused(tmp_path):
    none = {"test_x": np.zeros((0, 8, 8, 3), np.uint8), "test_y": np.zeros(0, np.int64)}
    path, _ = save(tmp_path / "d.npz", np.arange(40) % 2, **none)
    with pytest.raises(DataError, match=r"test split .* has no images"):
        load_images(path, Shape(3, 8, 8))
