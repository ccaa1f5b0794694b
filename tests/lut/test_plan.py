from collections import Counter

import numpy as np
import pytest

from hot.errors import LutError
from hot.lut.plan import (
    covering_networks,
    held_out,
    isolated_jobs,
    network_job,
    sentinel_networks,
    unique_work,
)
from hot.space import load_space


@pytest.mark.parametrize("name", ["digits", "mobilenetv2", "resnet18"])
@pytest.mark.parametrize("repeats", [1, 3])
def test_every_choice_of_every_slot_occurs_at_least_the_repeats(name, repeats):
    space = load_space(name)
    networks = covering_networks(space, repeats, seed=0)
    for index, slot in enumerate(space.slots):
        seen = Counter(network.choices[index] for network in networks)
        assert all(seen[choice] >= repeats for choice in slot.choices)


def test_no_network_is_laid_out_twice_and_there_are_no_more_than_needed():
    space = load_space("mobilenetv2")
    networks = covering_networks(space, 3, seed=0)
    assert len({n.key for n in networks}) == len(networks) == 3 * 18


def test_a_choice_meets_other_neighbours_each_time():
    space = load_space("mobilenetv2")
    networks = covering_networks(space, 4, seed=0)
    for first in range(1, 6):
        partners = {}
        for network in networks:
            partners.setdefault(network.choices[first], set()).add(network.choices[first + 1])
        assert np.mean([len(met) for met in partners.values()]) > 3


def test_the_layout_follows_the_seed():
    space = load_space("digits")
    assert covering_networks(space, 2, 5) == covering_networks(space, 2, 5)
    assert covering_networks(space, 2, 5) != covering_networks(space, 2, 6)


def test_work_is_unique_and_complete(tiny):
    # By hand: slot a has 4 choices at one shape for both layers, b 4, c 2, and stem and head.
    works = unique_work(tiny)
    assert len(works) == 4 + 4 + 2 + 2
    total = sum(works[key].counts.macs for _, key in network_job(tiny, tiny.original).parts)
    assert total == tiny.counts(tiny.original).macs


def test_a_skip_is_no_job_of_its_own(tiny):
    keys = [job.key for job in isolated_jobs(tiny)]
    assert len(keys) == len(set(keys)) == len(unique_work(tiny)) - 1
    assert not any(key.startswith("skip@") for key in keys)


def test_parts_of_a_network_are_in_order_and_name_each_layer(tiny):
    job = network_job(tiny, tiny.original)
    assert [part for part, _ in job.parts] == ["stem", "a.0", "a.1", "b.0", "c.0", "head"]


def test_held_out_networks_are_distinct_and_new(tiny):
    used = {a.key for a in covering_networks(tiny, 1, 0)}
    found = held_out(tiny, 20, 0, used)
    assert len({a.key for a in found}) == 20
    assert not used & {a.key for a in found}


def test_more_held_out_networks_than_there_are_is_refused_with_the_numbers(tiny):
    with pytest.raises(LutError, match="33 others were asked for"):
        held_out(tiny, 33, 0, set())


def test_sentinels_hold_the_original_and_are_distinct(tiny):
    sentinels = sentinel_networks(tiny, 0)
    assert tiny.original in sentinels
    assert len({a.key for a in sentinels}) == 3
