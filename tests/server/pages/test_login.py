import pytest

from hot.server.auth import add_token


@pytest.fixture(scope="session")
def guarded(in_process, tmp_path_factory):
    """A server that asks for tokens, one token of each role, and a client of the highest."""
    path = tmp_path_factory.mktemp("tokens") / "tokens.yaml"
    tokens = {role: add_token(path, f"a-{role}", role, 1) for role in ("read", "measure", "admin")}
    client, _ = in_process(tokens=path, job_time_limit_s=60.0)
    return type(client)(client.url, tokens["admin"]), tokens


def sign_in(page, token):
    page.wait_for_selector("#login:not([hidden])")
    page.fill("#token", token)
    page.click("#login button")


def test_a_token_is_asked_for_and_kept_in_its_tab_alone(visit, guarded):
    client, tokens = guarded
    page = visit(client, "/", may_fail=True)
    sign_in(page, "hot_wrong")
    page.wait_for_selector("#login-error:not(:empty)")
    assert page.is_hidden("#content")
    sign_in(page, tokens["read"])
    page.wait_for_selector("#content:not([hidden])")
    assert page.inner_text("#who") == "a-read (read)"
    page.click("nav >> text=Look-up tables")
    page.wait_for_selector("#heat td")
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
    assert tokens["read"] not in page.url
    other = page.context.new_page()
    other.goto(f"{client.url}/")
    other.wait_for_selector("#login:not([hidden])")
    page.click("#sign-out")
    page.wait_for_selector("#login:not([hidden])")
    assert page.evaluate("sessionStorage.length") == 0


def test_only_roles_that_may_see_the_buttons(visit, guarded, make_model):
    client, tokens = guarded
    job = client.submit(make_model("wait:30", seed=81))
    for role, n_buttons in (("read", 0), ("measure", 1)):
        page = visit(client, "/", may_fail=True)
        sign_in(page, tokens[role])
        page.wait_for_selector(f"tr[data-job='{job['id']}']")
        assert page.locator("#jobs button:text-is('cancel')").count() == n_buttons, role
    page.click(f"#cancel-{job['id']}")
    page.wait_for_selector(f"tr[data-job='{job['id']}'][data-status=cancelled]")
