import numpy as np
import torch

from hot.records import Recipe
from hot.training.augment import augment, mixup, random_crop, random_flip


def numbered(n=40, side=5):
    return (
        torch.arange(1, 2 * side * side + 1, dtype=torch.uint8)
        .view(1, 2, side, side)
        .repeat(n, 1, 1, 1)
    )


def test_every_crop_is_a_window_of_the_padded_image():
    images = numbered()
    crops = random_crop(images, 2, np.random.default_rng(0))
    padded = np.pad(images[0].numpy(), [(0, 0), (2, 2), (2, 2)])
    windows = {
        padded[:, y : y + 5, x : x + 5].tobytes(): (y, x) for y in range(5) for x in range(5)
    }
    offsets = {windows[crop.numpy().tobytes()] for crop in crops}
    assert len(offsets) > 10


def test_about_half_of_the_images_are_mirrored():
    images = numbered(400)
    flipped = random_flip(images, np.random.default_rng(0))
    is_mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    is_same = (flipped == images).flatten(1).all(1)
    assert (is_mirrored ^ is_same).all()
    assert 150 < int(is_mirrored.sum()) < 250


def test_mixup_blends_each_image_with_its_partner():
    images = torch.rand(6, 1, 3, 3)
    blended, order, weight = mixup(images, 0.4, np.random.default_rng(3))
    assert 0 <= weight <= 1
    assert sorted(order.tolist()) == list(range(6))
    for i in range(6):
        expected = weight * images[i] + (1 - weight) * images[order[i]]
        torch.testing.assert_close(blended[i], expected)


def test_a_plain_recipe_leaves_the_images_alone():
    images = numbered()
    assert augment(images, Recipe(), np.random.default_rng(0)) is images


def test_the_same_generator_state_gives_the_same_batch():
    recipe = Recipe(horizontal_flip=True, crop_padding=2)
    first, second = (augment(numbered(), recipe, np.random.default_rng(5)) for _ in range(2))
    assert torch.equal(first, second)
