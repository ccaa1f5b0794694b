"""Whole networks of distilled blocks are measured once, in the unit of the table."""

import logging
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from hot.errors import InputError
from hot.quality import Evidence, measure_plugged, score, score_network


def test_a_plugged_network_is_measured_with_fresh_norm_statistics(space, data, evidence, library):
    score(space, "distill", evidence)
    picked = space.architecture(tuple(min(1, len(s.choices) - 1) for s in space.slots))
    (found,) = measure_plugged(space, [picked], evidence)
    # by hand: the same images in one batch with momentum 1 give the mean over batches of one size
    network, original = library.assemble(picked), library.original()
    images = torch.from_numpy(data.normalise(data.train.images))
    order = np.random.default_rng(evidence.seed).permutation(len(data.train))
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.inference_mode():
        network.train()
        for start in range(0, len(order), 128):
            network(images[order[start : start + 128]])
        network.eval()
        held = torch.from_numpy(data.normalise(data.val.images[:100]))
        wanted, other = original(held).softmax(1), network(held).softmax(1)
        divergence = (wanted * (wanted / other).log()).sum(1).mean()
    assert found == pytest.approx(-float(divergence), rel=1e-2)
    assert score_network("distill", space, picked, evidence) == found


def test_a_network_that_cannot_run_is_nan_and_said_so(space, evidence, library, caplog):
    score(space, "distill", evidence)
    part, choice = f"{space.slots[1].name}.0", space.slots[1].choices[1]
    state = library.assemble(space.original).part(part)
    library.save_block(part, choice, state)  # the weights of another choice
    bad = space.architecture((0, 1, 0, 0, 0))
    with caplog.at_level(logging.WARNING):
        values = measure_plugged(space, [bad, space.original], evidence)
    assert math.isnan(values[0])
    assert values[1] == pytest.approx(0.0, abs=1e-6)  # the original changes nothing
    assert bad.short in caplog.text


def test_measuring_needs_data_and_a_library(space):
    with pytest.raises(InputError, match="images and a library"):
        measure_plugged(space, [space.original], Evidence())


def test_a_measured_network_is_kept_until_its_weights_change(space, evidence, library, tmp_path):
    evidence = replace(evidence, folder=tmp_path)
    score(space, "distill", evidence)
    pick, other = (space.architecture((0, i, 0, 0, 0)) for i in (1, 2))
    first = measure_plugged(space, [pick], evidence)
    (file,) = tmp_path.rglob("whole-networks.json")
    file.write_text(file.read_text().replace(str(first[0]), "-1234.5"))  # what is there is taken
    again = measure_plugged(space, [other, pick], evidence)
    assert again[1] == -1234.5
    assert again[0] == measure_plugged(space, [other], replace(evidence, folder=None))[0]
    part, choice = f"{space.slots[1].name}.0", space.slots[1].choices[1]
    module = library.assemble(pick).part(part)
    torch.nn.init.zeros_(next(module.parameters()))
    library.save_block(part, choice, module)
    assert measure_plugged(space, [pick], evidence)[0] != -1234.5
