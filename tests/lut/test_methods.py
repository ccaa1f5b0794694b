"""LUTs of a space with a backbone: all that stands outside of the slots is the stem."""

import logging

import numpy as np
import pytest
from torch import nn

from hot.devices import make_device
from hot.errors import LutError
from hot.lut import build_lut
from hot.lut.attribute import PartTime
from hot.lut.check import measure_networks
from hot.lut.methods import METHODS, SETTINGS
from hot.lut.plan import network_job, unique_work
from hot.lut.store import JobResult
from hot.nn import space_from_model

MENU = [{"operator": "ir", "expansion": [2, 4], "kernel": [3]}, {"operator": "skip"}]


def conv(c_in, c_out, stride=1):
    return [nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU()]


def network(width=16):
    return nn.Sequential(
        *conv(3, width, 2), *conv(width, width), *conv(width, 2 * width, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10),
    )  # fmt: skip


@pytest.fixture(scope="module")
def grafted():
    return space_from_model(network(), 16, menu=MENU)


def test_work_is_unique_and_holds_all_of_the_network(grafted):
    works = unique_work(grafted)
    # by hand: 4 choices at the first slot, 3 at the second (no skip), and stem and head
    assert len(works) == 4 + 3 + 2
    job = network_job(grafted, grafted.original)
    assert [part for part, _ in job.parts] == ["stem", "3.0", "6.0"]
    total = sum(works[key].counts.macs for _, key in job.parts)
    assert total == grafted.counts(grafted.original).macs
    assert works["head"].is_empty


@pytest.mark.parametrize("method", METHODS)
def test_on_a_device_that_adds_up_both_methods_predict_exactly(grafted, method, tmp_path):
    device = make_device("reference")
    lut = build_lut(grafted, device, method=method, store=tmp_path / "luts.db")
    assert lut.unnamed_share == 0
    assert lut.entries["head"].latency_ms == 0 < lut.entries["stem"].latency_ms
    every = list(grafted.enumerate())
    measured = measure_networks(grafted, every, "fp32", device, SETTINGS, 0)
    table = lut.table(grafted)
    assert [table.predict_ms(grafted, a) for a in every] == pytest.approx(measured)


def test_on_this_machine_every_part_is_told_apart(tmp_path):
    space = space_from_model(network(32), 32, menu=MENU)
    lut = build_lut(space, make_device("cpu"), method="in-context", store=tmp_path / "luts.db")
    assert lut.unnamed_share < 0.2
    skip, original = (
        sum(e.latency_ms for key, e in lut.entries.items() if key.startswith(name))
        for name in ("skip", "original")
    )
    assert skip == 0 < original


def test_isolated_blocks_that_take_longer_than_the_network_leave_nothing_and_say_so(caplog):
    from hot.lut.store import JobResult

    space = space_from_model(network(), 16, menu=MENU)
    results = [
        JobResult(key, 1.0, 0.0, ())
        for key, work in unique_work(space).items()
        if not work.is_empty
    ]
    with caplog.at_level(logging.WARNING):
        entries = METHODS["isolated"].entries(space, "fp32", results)
    assert entries["stem"].latency_ms == 0
    assert "1.000 ms more than their whole network" in caplog.text


def test_what_blocks_cost_more_in_a_network_than_alone_is_learned_from_whole_networks(grafted):
    """In a network, every block takes 1.3 times what it takes alone, and all take 0.2 ms more."""
    rng = np.random.default_rng(0)
    works = unique_work(grafted)
    alone = {key: rng.uniform(0.1, 1.0) for key, work in works.items() if not work.is_empty}
    every = list(grafted.enumerate())

    def in_network(architecture):
        return 0.2 + 1.3 * sum(
            alone.get(key, 0.0) for _, key in network_job(grafted, architecture).parts
        )

    blocks = sum(alone[key] for _, key in network_job(grafted, grafted.original).parts[1:])
    singles = {**alone, "stem": alone["stem"] + blocks}  # the whole original network
    results = [JobResult(key, ms, 0.0, (PartTime(key, key, ms, 0),)) for key, ms in singles.items()]
    seen = every[::2]
    results += [JobResult(a.key, in_network(a), 0.0, ()) for a in seen]
    found = METHODS["fitted"].entries(grafted, "fp32", results)
    assert found.keys() == works.keys()
    errors = [
        abs(
            sum(found[key].latency_ms for _, key in network_job(grafted, a).parts) / in_network(a)
            - 1
        )
        for a in every[1::2]
    ]
    isolated = METHODS["isolated"].entries(grafted, "fp32", results[: len(singles)])
    before = [
        abs(
            sum(isolated[key].latency_ms for _, key in network_job(grafted, a).parts)
            / in_network(a)
            - 1
        )
        for a in every[1::2]
    ]
    assert min(before) > 0.2
    assert np.mean(errors) < 0.03
    assert max(errors) < min(before) / 3


def test_without_one_network_that_ran_nothing_can_be_fitted(grafted):
    works = [key for key, work in unique_work(grafted).items() if not work.is_empty]
    results = [JobResult(key, 1.0, 0.0, (PartTime(key, key, 1.0, 0),)) for key in works]
    results.append(JobResult(grafted.original.key, None, 0.0, (), failure="too large for it"))
    with pytest.raises(LutError, match="too large for it"):
        METHODS["fitted"].entries(grafted, "fp32", results)
