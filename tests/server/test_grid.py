import dataclasses
import itertools

import pytest

from hot.lut import find_luts, load_lut
from hot.records import LatencyTable, LutEntry
from hot.server.grid import lay_out, shipped_space
from hot.space import load_space

DIGITS = next(path for name, path in find_luts().items() if name.startswith("stm32h743/digits"))


@pytest.fixture
def lut():
    return load_lut(DIGITS)


def without(lut, *keys):
    kept = {key: entry for key, entry in lut.entries.items() if key not in keys}
    return dataclasses.replace(lut, entries=kept)


def test_a_cell_is_what_the_entries_of_its_layers_add_up_to(lut):
    space, grid = load_space("digits"), lay_out(lut)
    assert [row.name for row in grid.rows] == [slot.name for slot in space.slots]
    for slot, row in zip(space.slots, grid.rows, strict=True):
        for choice in slot.choices:
            cell = row.cells[grid.columns.index(choice.key)]
            entries = [lut.entries[choice.work_key(layer)] for layer in slot.layers]
            assert cell.latency_ms == pytest.approx(sum(e.latency_ms for e in entries))
            assert cell.energy_mj == pytest.approx(sum(e.energy_mj for e in entries))
        assert grid.columns[row.original] == slot.original.key


def test_a_choice_that_is_not_legal_has_no_cell(lut):
    space, grid = load_space("digits"), lay_out(lut)
    for slot, row in zip(space.slots, grid.rows, strict=True):
        empty = {k for k, cell in zip(grid.columns, row.cells, strict=True) if cell is None}
        assert empty == set(grid.columns) - set(slot.keys)


def test_a_missing_entry_is_missing_and_never_zero(lut):
    space = load_space("digits")
    slot = space.slots[2]
    key = slot.choices[3].work_key(slot.layers[0])
    whole, grid = lay_out(lut), lay_out(without(lut, key, "head"))
    assert whole.n_present == whole.n_wanted == len(lut.entries)
    assert (grid.n_present, grid.n_wanted) == (whole.n_wanted - 2, whole.n_wanted)
    assert grid.rows[2].cells[grid.columns.index(slot.choices[3].key)].latency_ms is None


def test_columns_go_by_operator_then_expansion_then_kernel(lut):
    columns = lay_out(lut).columns
    operators = [key.partition("-")[0] for key in columns]
    assert [key for key, _ in itertools.groupby(operators)] == ["ir", "fused", "sandglass"]
    assert columns.index("ir-e3-k3") < columns.index("ir-e3-k5") < columns.index("ir-e6-k3")


@pytest.mark.parametrize(
    "change",
    [
        {"spec": None},
        {"space": "another-w1-r16-slot-00000000"},
        {"spec_name": "/etc/passwd"},
        {"spec_name": "os:system", "model": True},
    ],
)
def test_a_space_that_does_not_ship_stays_shut_and_the_rows_are_layers(lut, change):
    from hot.space import ModelSpec

    if "spec_name" in change:
        model = ModelSpec() if change.get("model") else None
        changed = dataclasses.replace(lut.spec, name=change["spec_name"], model=model)
        other = dataclasses.replace(lut, spec=changed)
    else:
        other = dataclasses.replace(lut, **change)
    assert shipped_space(other) is None
    grid = lay_out(other)
    assert grid.n_wanted is None
    assert grid.n_present == len(lut.entries)
    shapes = {key.partition("@")[2] for key in lut.entries if "@" in key}
    assert {row.shape for row in grid.rows} == shapes
    known = [c.latency_ms for row in grid.rows for c in row.cells if c is not None]
    assert sum(known) == pytest.approx(
        sum(e.latency_ms for k, e in lut.entries.items() if "@" in k)
    )


def test_an_operator_that_is_not_known_here_comes_last(lut):
    entries = {**lut.entries, "mystery-z9@1x1x1>1s1": LutEntry(1.0)}
    grid = lay_out(dataclasses.replace(lut, spec=None, entries=entries))
    assert grid.columns[-1] == "mystery-z9"


def test_corrected_latencies_are_shown_where_they_fit(lut):
    table = lut.table(load_space("digits"))
    doubled = tuple(tuple(2 * value for value in row) for row in table.latency_ms)
    fits = dataclasses.replace(table, latency_ms=doubled)
    space, plain = load_space("digits"), lay_out(lut)
    column = plain.columns.index(space.slots[0].choices[0].key)

    def first(corrected: LatencyTable):
        grid = lay_out(dataclasses.replace(lut, corrected=corrected))
        return grid.rows[0].cells[column].latency_ms

    before = plain.rows[0].cells[column].latency_ms
    assert first(fits) == pytest.approx(2 * before)
    assert first(dataclasses.replace(table, latency_ms=doubled[:-1])) == before
