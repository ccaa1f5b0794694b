"""What `hot compare-luts` shows: two tables of one space, choice by choice."""

from typing import Any

from hot.lut import compare_luts
from hot.pipeline import open_lut, space_of
from hot.records import to_document
from hot.units import format_ms
from hot.views import describe_lut, draw_marks, draw_table, out

Document = dict[str, Any]


def compare_files(first: str, second: str, seed: int) -> Document:
    """The LUT `second` over `first`, each a file or the name of a shipped one.

    Raises:
        LutError: one is missing or damaged, or they are of two spaces.
    """
    a = open_lut(first)
    space = space_of(a)
    b = open_lut(second, space)
    comparison = to_document(compare_luts(a, b, space, seed))
    return {"first": describe_lut(a), "second": describe_lut(b), "comparison": comparison}


def draw_comparison(document: Document) -> None:
    """A matrix of ratios, a choice a row and a slot a column, and what it comes to."""
    a, b, found = document["first"], document["second"], document["comparison"]
    slots = found["slots"]
    for name, lut in (("A", a), ("B", b)):
        out.print(f"{name}: {_name(lut)}, {lut['method']}, {lut['created']}")
    out.print("B over A, all layers of a slot together; * is the fastest of B in its slot")
    choices = list(dict.fromkeys(key for slot in slots for key in slot["ratios"]))
    rows = [(choice, *(_cell(slot, choice) for slot in slots)) for choice in choices]
    draw_table(("choice", *(slot["slot"] for slot in slots)), rows)
    moved = [slot["slot"] for slot in slots if slot["fastest"][0] != slot["fastest"][1]]
    out.print(
        f"another choice is the fastest in {len(moved)} of {len(slots)} slots"
        + (f": {', '.join(moved)}" if moved else "")
    )
    for what, key in (("original network", "original_ms"), ("stem, head, constant", "fixed_ms")):
        first, second = found[key]
        ratio = f" ({second / first:.2f})" if first > 0 else ""
        out.print(f"{what}: {format_ms(first)} in A, {format_ms(second)} in B{ratio}")
    if found["median_ratio"] is not None:
        out.print(f"median ratio of all choices: {found['median_ratio']:.2f}")
    out.print(
        f"Spearman of the predictions of {found['n_networks']} networks: {found['spearman']:.3f}"
    )
    draw_marks(a["device"])
    if b["device"] != a["device"]:
        draw_marks(b["device"])


def _name(lut: Document) -> str:
    device = lut["device"]
    return f"{lut['precision']} of {lut['space']} on {device['name']} ({device['kind']})"


def _cell(slot: Document, choice: str) -> str:
    if choice not in slot["ratios"]:
        return ""
    ratio = slot["ratios"][choice]
    mark = "*" if slot["fastest"][1] == choice else ""
    return f"{mark}{'-' if ratio is None else f'{ratio:.2f}'}"
