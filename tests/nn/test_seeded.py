import torch

from hot.nn import seeded


def test_equal_seeds_draw_alike_and_the_global_generator_stays():
    before = torch.get_rng_state()
    with seeded(3):
        first = torch.randn(4)
    with seeded(3):
        second = torch.randn(4)
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state())
