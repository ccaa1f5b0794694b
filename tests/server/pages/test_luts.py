import re

import pytest

from hot.lut import find_luts, load_lut
from hot.space import load_space


def pick_lut(page, device):
    page.locator("#luts tbody tr", has_text=device).first.click()
    page.wait_for_function(
        "d => document.querySelector('#lut-title').textContent.includes(d)", arg=device
    )


def cell(page, slot, choice):
    """The cell of a slot and a choice."""
    columns = [text.strip() for text in page.locator("#heat thead th").all_inner_texts()]
    row = page.locator("#heat tbody tr", has=page.locator("th", has_text=slot)).first
    return row.locator("td").nth(columns.index(choice))


def test_tables_are_listed_with_their_coverage(visit, site, shipped):
    page = visit(site, "/luts")
    page.wait_for_selector("#luts tbody tr")
    assert page.locator("#luts tbody tr").count() == len(find_luts()) + 2
    n = len(load_lut(shipped).entries)
    assert f"{n - 5} of {n}" in page.inner_text("#luts tr:has-text('growing')")
    page.fill("#find", "growing int8")
    assert page.locator("#luts tbody tr").count() == 1


def test_the_map_shows_the_tables_numbers_in_each_of_its_three_ways(visit, site, shipped):
    page = visit(site, "/luts")
    page.wait_for_selector("#luts tbody tr")
    page.fill("#find", "stm32h743 digits")
    pick_lut(page, "stm32h743")
    space, lut = load_space("digits"), load_lut(shipped)
    slot = space.slots[1]
    choice = next(c for c in slot.choices if c != slot.original)

    def total(of, which):
        return sum(getattr(lut.entries[which.work_key(layer)], of) for layer in slot.layers)

    mine, original = total("latency_ms", choice), total("latency_ms", slot.original)
    energy = total("energy_mj", choice)
    shown = cell(page, slot.name, choice.key)
    assert float(shown.inner_text()) == pytest.approx(mine, rel=0.06)
    shown.hover()
    tip = page.wait_for_selector("#tip:not([hidden])").inner_text()
    assert f"{choice.key} at {slot.name}" in tip
    assert float(re.search(r"latency\s+([\d.]+) ms", tip)[1]) == pytest.approx(mine, rel=0.006)
    assert float(re.search(r"original\s+([\d.]+)×", tip)[1]) == pytest.approx(
        mine / original, rel=0.006
    )
    page.click("text=ratio to the original")
    assert cell(page, slot.name, slot.original.key).inner_text() == "1"
    assert float(shown.inner_text()) == pytest.approx(mine / original, rel=0.06)
    page.click("#shown >> text=energy")
    said = page.inner_text("#lut-source")
    unit = 1e3 if "µJ" in said else 1.0
    assert float(shown.inner_text()) == pytest.approx(energy * unit, rel=0.06)
    page.reload()
    page.wait_for_selector("#heat td")
    assert page.is_checked("#shown [value=energy]")


def test_the_map_is_walked_by_keys(visit, site):
    page = visit(site, "/luts")
    page.wait_for_selector("#heat td")
    page.focus("#heat td[tabindex='0']")
    first = page.wait_for_selector("#tip:not([hidden])").inner_text()
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#tip") != first
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#tip") == first
    assert page.locator("#heat td[tabindex='0']").count() == 1
    page.keyboard.press("Escape")
    assert page.is_hidden("#tip")


def test_what_a_table_lacks_is_marked_and_not_zero(visit, site):
    page = visit(site, "/luts")
    page.wait_for_selector("#luts tbody tr")
    pick_lut(page, "growing")
    gaps = page.locator("#heat td.gap")
    assert gaps.count() > 0
    assert set(gaps.all_inner_texts()) == {"?"}
    gaps.first.hover()
    assert "Not in the table yet" in page.inner_text("#tip")
