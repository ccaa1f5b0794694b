def test_devices_are_shown_with_their_kind(visit, site):
    page = visit(site, "/")
    page.wait_for_selector("[data-device=waits]")
    assert "measured" in page.inner_text("[data-device=waits]")
    assert "estimated" in page.inner_text("[data-device=thinks]")
    page.click("[data-device=waits] summary")
    assert "wait_ms" in page.inner_text("[data-device=waits]")
    assert page.is_hidden("#login")


def test_jobs_come_in_live_open_and_tell_their_result(visit, site, make_model):
    page = visit(site, "/")
    page.wait_for_selector("[data-device=waits]")
    job = site.finish(site.submit(make_model(seed=71)))
    row = page.wait_for_selector(f"tr[data-job='{job['id']}'][data-status=done]")
    assert "2.5 ms" in row.inner_text()
    page.click(f"#job-{job['id']}")
    details = page.wait_for_selector("tr.opened")
    assert job["artifact"] in details.inner_text()
    assert "2 samples" in details.inner_text()
    page.wait_for_timeout(2500)  # drawn anew at least once
    assert page.get_attribute(f"#job-{job['id']}", "aria-expanded") == "true"


def test_a_compile_job_lists_its_files(visit, site, make_model):
    page = visit(site, "/")
    job = site.finish(site.submit(make_model(seed=78), "thinks", task="compile"))
    row = page.wait_for_selector(f"tr[data-job='{job['id']}'][data-status=done]")
    assert "2 files" in row.inner_text()
    page.click(f"#job-{job['id']}")
    assert "model_compiled.bin" in page.wait_for_selector("tr.opened").inner_text()


def test_a_waiting_job_is_cancelled_and_asked_again_by_buttons(visit, site, make_model):
    running = site.submit(make_model("wait:30", seed=72))
    waiting = site.submit(make_model(seed=73))
    page = visit(site, "/")
    page.wait_for_selector(f"tr[data-job='{running['id']}'][data-status=running]")
    row = page.wait_for_selector(f"tr[data-job='{waiting['id']}'][data-status=queued]")
    assert "place 1" in row.inner_text()
    page.click(f"#cancel-{waiting['id']}")
    page.wait_for_selector(f"tr[data-job='{waiting['id']}'][data-status=cancelled]")
    assert site.get(waiting)["status"] == "cancelled"
    page.click(f"#cancel-{running['id']}")
    site.until(lambda: site.get(running)["status"] == "cancelled")
    page.click(f"#retry-{waiting['id']}")
    page.wait_for_selector(f"tr[data-job='{waiting['id']}'][data-status=done]")


def test_jobs_are_filtered_by_status_and_device(visit, site, make_model):
    cancelled = site.submit(make_model("misfit", seed=74))
    estimated = site.finish(site.submit(make_model(seed=75), device="thinks"))
    site.finish(cancelled)
    page = visit(site, "/")
    page.wait_for_selector(f"tr[data-job='{cancelled['id']}']")
    assert "cannot run" in page.inner_text(f"tr[data-job='{cancelled['id']}']")
    page.select_option("#device", "thinks")
    page.wait_for_selector(f"tr[data-job='{cancelled['id']}']", state="detached")
    assert "estimated" in page.inner_text(f"tr[data-job='{estimated['id']}']")
    page.select_option("#status", "failed")
    page.wait_for_selector("#no-jobs:not([hidden])")


def test_a_server_that_is_gone_is_said_and_found_again(visit, site):
    page = visit(site, "/", may_fail=True)
    page.wait_for_selector("text=live")
    page.context.set_offline(True)
    page.wait_for_selector("#trouble:not([hidden])")
    assert page.inner_text("#live") == "not live"
    page.context.set_offline(False)
    page.wait_for_selector("#trouble", state="hidden")
    assert page.inner_text("#live") == "live"
