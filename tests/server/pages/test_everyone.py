import numpy as np
import pytest
from PIL import Image

NAMELESS = """() => [...document.querySelectorAll('button, input, select, a, [tabindex="0"]')]
    .filter((node) => node.offsetParent !== null)
    .filter((node) => !(node.getAttribute('aria-label') || node.textContent.trim()
                        || node.labels?.[0]?.textContent.trim()))
    .map((node) => node.outerHTML)"""
CONTRAST = """() => {
    const light = (text) => { const [r, g, b] = text.match(/[\\d.]+/g).map(Number).slice(0, 3)
        .map((c) => c / 255).map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
    const ground = (node) => { for (; node; node = node.parentElement) {
        const colour = getComputedStyle(node).backgroundColor;
        if (!/, 0\\)$|transparent/.test(colour)) return colour; } return 'rgb(255, 255, 255)'; };
    return [...document.querySelectorAll('main *, header *')]
        .filter((node) => node.offsetParent !== null && !node.closest('svg, :disabled, .hidden'))
        .filter((node) => [...node.childNodes].some((c) => c.nodeType === 3 && c.data.trim()))
        .map((node) => { const [a, b] = [light(getComputedStyle(node).color), light(ground(node))];
            const most = Math.max(a, b), least = Math.min(a, b);
            return [(most + 0.05) / (least + 0.05), node.textContent.trim().slice(0, 40)]; })
        .filter(([ratio]) => ratio < 4.5); }"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/", "/luts", "/runs"])
def test_every_page_is_readable_named_and_fits_a_phone(visit, site, path, scheme, tmp_path):
    page = visit(site, path, color_scheme=scheme, viewport={"width": 360, "height": 740})
    page.wait_for_selector("[data-device], #heat td, #scatter")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate(NAMELESS) == []
    assert page.evaluate(CONTRAST) == []
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    with Image.open(tmp_path / "page.png") as picture:
        values = np.asarray(picture.convert("L"), dtype=float)
    assert bool(values.mean() > 128) == (scheme == "light")
    assert values.std() > 8  # something is drawn


def test_the_keyboard_reaches_the_content_and_the_controls(visit, site):
    page = visit(site, "/runs")
    page.wait_for_selector("#scatter")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert {"x", "y", "scatter", "within-latency", "objective", "deployed", "pick-0"} <= reached
