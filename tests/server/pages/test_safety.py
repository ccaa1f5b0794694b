import re
from pathlib import Path

import pytest

from hot.server import pages

PAGES = Path(pages.__file__).with_suffix("")


def test_hostile_names_are_text(visit, site, hostile):
    page = visit(site, "/luts")
    page.wait_for_selector("#luts tbody tr")
    page.locator("#luts tbody tr", has_text=hostile).click()
    is_shown = "name => document.querySelector('#lut-title').textContent.includes(name)"
    page.wait_for_function(is_shown, arg=hostile)
    assert hostile in page.inner_text("#luts")
    assert f"torn {hostile}" in page.inner_text("#damaged")
    assert page.evaluate("[window.owned, document.images.length]") == [None, 0]
    page = visit(site, "/runs")
    page.locator("#runs tbody tr", has_text=hostile).click()
    page.wait_for_function(
        "d => document.querySelector('#run-title').textContent === d", arg=hostile
    )
    page.wait_for_selector("#scatter")
    assert hostile in page.inner_text("#points")
    page.click(f"#points button[aria-label='compare {hostile}']")
    page.click("#points button[aria-label='compare accuracy-1']")
    assert hostile in page.inner_text("#compare")
    assert page.evaluate("[window.owned, document.images.length]") == [None, 0]


def test_a_page_refuses_markup_and_scripts_that_are_not_its_own(visit, site):
    page = visit(site, "/", may_fail=True)
    for deed in (
        "document.body.innerHTML = '<b>x</b>'",
        "document.body.setAttribute('onclick', 'window.owned = 1')",
        "document.createElement('script').text = 'window.owned = 1'",
    ):
        refused = f"() => {{ try {{ {deed}; }} catch (e) {{ return e.name; }} }}"
        assert page.evaluate(refused) == "TypeError", deed
    assert page.evaluate("window.owned") is None


@pytest.mark.parametrize("path", ["/", "/luts", "/runs", "/pages/dom.js", "/pages/none.js"])
def test_the_policy_of_contents_is_strict(site, path):
    answer = site.http.get(path)
    assert answer.status_code == (404 if "none" in path else 200)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe" not in policy and "http" not in policy
    if answer.status_code == 200:
        again = site.http.get(path, headers={"If-None-Match": answer.headers["etag"]})
        assert again.status_code == 304


def test_nothing_but_the_packages_own_files_is_served(site):
    for path in ("/pages/devices.html", "/pages/../pages.py", "/pages/%2e%2e/app.py", "/pages/"):
        assert site.http.get(path).status_code == 404


@pytest.mark.parametrize("path", sorted(PAGES.iterdir()), ids=lambda path: path.name)
def test_sources_make_no_markup_of_strings_and_name_no_other_origin(path):
    text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
    text = text.replace("http://HOST:PORT/NAME", "")
    assert not re.search(r"https?://|//cdn|@import", text)
    if path.suffix == ".js":
        assert not re.search(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", text)
    if path.suffix == ".html":
        assert not re.search(r"\son\w+=|style=|<script(?![^>]*\ssrc=)", text)
