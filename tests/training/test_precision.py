import torch
from torch import nn
from torch.nn import functional

from hot.training.precision import autocast, choose_precision

IMAGES, TARGETS = torch.randn(4, 1, 8, 8), torch.tensor([0, 1, 0, 1])


def make():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 2))


def test_a_fixed_precision_is_not_probed():
    def fail():
        raise RuntimeError("probed")

    assert choose_precision("bf16", fail, IMAGES, TARGETS, functional.cross_entropy) == "bf16"


def test_auto_chooses_one_of_the_two_and_draws_no_random_numbers():
    module, before = make(), torch.get_rng_state()
    chosen = choose_precision("auto", lambda: module, IMAGES, TARGETS, functional.cross_entropy)
    assert chosen in ("fp32", "bf16")
    assert torch.equal(torch.get_rng_state(), before)
    assert all(p.grad is None for p in module.parameters())


def test_bf16_computes_in_bfloat16_and_fp32_does_not():
    module = make()
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        with autocast(precision, torch.device("cpu")):
            assert module(IMAGES).dtype == dtype
