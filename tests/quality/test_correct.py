"""Whole networks of distilled blocks are measured, and their order corrects the table."""

import math

import numpy as np
import pytest

from hot.errors import InputError
from hot.quality import (
    agreement,
    correct_quality,
    order_agreement,
)
from hot.records import LeftOut, PairTerm, QualityTable
from hot.space import load_space

SPACE = load_space("digits")


def make_table(left_out=()):
    rng = np.random.default_rng(0)
    values = [[-float(v) for v in rng.exponential(0.3, len(s.choices))] for s in SPACE.slots]
    for slot, choice in left_out:
        values[slot][choice] = None
    rows = tuple(LeftOut(SPACE.slots[s].name, SPACE.slots[s].keys[c], "why") for s, c in left_out)
    return QualityTable(SPACE.key, "distill-kl", tuple(map(tuple, values)), -0.1, left_out=rows)


def draw(n, seed):
    rng = np.random.default_rng(seed)
    return [SPACE.sample(rng) for _ in range(n)]


def test_planted_effects_are_carried_to_other_networks():
    table = make_table()

    def truth(architecture):
        x = SPACE.indices(architecture)
        return 0.6 * table.predict(x) - 0.2 - 0.4 * (x[1] % 2) - 0.3 * (x[2] > 8)

    measured = {a.key: truth(a) for a in draw(80, 1)}
    corrected = correct_quality(table, SPACE, measured)
    others = {a.key: truth(a) for a in draw(60, 2)}
    assert agreement(table, SPACE, others) < 0.9
    assert agreement(corrected, SPACE, others) > 0.95


def test_a_left_out_choice_stays_left_out_and_its_networks_tell_nothing():
    table = make_table(left_out=[(1, 3)])
    networks = draw(60, 3)
    measured = {a.key: math.nan for a in networks[:3]}
    for a in networks[3:]:
        guess = table.predict(SPACE.indices(a))
        measured[a.key] = 5.0 if guess is None else 0.5 * guess
    corrected = correct_quality(table, SPACE, measured)
    assert corrected.values[1][3] is None
    assert corrected.left_out == table.left_out
    assert corrected.fixed == pytest.approx(-0.05, abs=0.02)


def test_pair_terms_of_an_earlier_correction_are_kept():
    from dataclasses import replace

    term = PairTerm(0, 0, 1, 0, -3.0)
    table = replace(make_table(), pairs=(term,))
    measured = {a.key: table.predict(SPACE.indices(a)) for a in draw(40, 4)}
    assert correct_quality(table, SPACE, measured) == table


def test_the_table_of_another_space_is_refused():
    with pytest.raises(InputError, match="was made for"):
        correct_quality(make_table(), load_space("digits", width=0.7), {})


@pytest.mark.parametrize(
    ("predicted", "measured", "wanted"),
    [([], [], 1.0), ([1.0], [2.0], 1.0), ([1.0, 1.0], [1.0, 2.0], 0.0), ([1, 2, 3], [3, 2, 1], -1)],
)
def test_order_agreement(predicted, measured, wanted):
    assert order_agreement(predicted, measured) == pytest.approx(wanted)
