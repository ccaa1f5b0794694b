"""Architectures have stable keys, can be sampled, enumerated and parsed back."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hot.errors import SpaceError
from hot.space import load_space, parse_choice

SPACES = [load_space(name) for name in ("digits", "mobilenetv2", "resnet18")]


@given(st.sampled_from(SPACES), st.integers(0, 2**32))
def test_a_sampled_architecture_is_parsed_back_from_its_key(space, seed):
    architecture = space.sample(np.random.default_rng(seed))
    assert space.parse(architecture.key) == architecture
    assert space.architecture(space.indices(architecture)) == architecture


def test_enumeration_yields_every_architecture_once():
    space = load_space("resnet18", resolution=32)
    keys = {architecture.key for architecture in space.enumerate()}
    assert len(keys) == space.size == 14**4


def test_the_macs_range_is_the_range_over_all_architectures():
    space = load_space("resnet18", resolution=32, width=0.5)
    rng = np.random.default_rng(0)
    least, most = space.macs_range()
    samples = [space.counts(space.sample(rng)).macs for _ in range(50)]
    assert least <= min(samples) and max(samples) <= most
    smallest = [min(s.choices, key=lambda c: space.count_choice(s, c).macs) for s in space.slots]
    assert space.counts(space.parse(",".join(c.key for c in smallest))).macs == least


def test_keys_do_not_change_between_versions():
    space = load_space("digits")
    assert space.original.key == "ir-e1-k3,ir-e6-k3,ir-e6-k3,ir-e6-k3,ir-e6-k3"
    assert space.key != load_space("digits", width=0.7).key
    assert space.key != load_space("digits", n_classes=9).key


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ir-e1-k3", "has 5 slots"),
        ("ir-e6-k3,ir-e6-k3,ir-e6-k3,ir-e6-k3,ir-e6-k3", "slot 'b1'"),
        ("irr-e6-k3", "did you mean 'ir'"),
        ("ir-e6-e3", "cannot read"),
        ("ir-x6", "cannot read"),
        ("ir-e6-k3-", "cannot read"),
        ("skip-e2", "does not fit"),
        ("", "unknown operator"),
    ],
)
def test_a_wrong_architecture_is_refused_with_the_reason(text, words):
    with pytest.raises(SpaceError, match=words):
        load_space("digits").parse(text)


@given(st.text(max_size=30))
def test_any_text_is_a_choice_or_a_space_error(text):
    with contextlib.suppress(SpaceError):
        assert parse_choice(text).key == text.strip()
