"""The dashboard in a real browser: every page on short real runs, a curve that grows, filters, sliders, addresses, downloads, keys."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("dash", reason="the extra dashboard is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

from playwright import sync_api

from groklab.dashboard import maps
from groklab.dashboard.server import opened_as, serving
from groklab.laboratory.runs import train

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
EVIL = "<script>window.stolen=1</script><img src=x onerror='window.stolen=1'>"
SMALL = {"width": 32, "heads": 2, "layers": 1, "mlp_width": 64, "checkpoints_per_decade": 4}
WIDE, NARROW = (1280, 800), (390, 844)
PATHS = ("/", "/curves", "/table", "/embedding", "/circuit", "/sweeps")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")]


def until(page, expression, arg=None, *, seconds=120):
    """Wait until a page says yes; the browser's own way of waiting is one that the pages' security policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression, arg):
        assert time.monotonic() < end, f"not within {seconds} seconds: {expression} for {arg!r}"
        page.wait_for_timeout(100)


class Site:
    """A dashboard that is served by a thread, over real runs."""

    def __init__(self, root: Path, **options) -> None:
        self.root = root
        self.server, self.computing, address = serving(root, port=0, **options)
        self.token = address.partition("token=")[2]
        self.address = address.partition("?")[0].rstrip("/")
        self._thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()
        self.computing.close()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Real short runs: additions at two fractions and seeds, a group, a file with tags in its names, and a damaged one."""
    folder = tmp_path_factory.mktemp("browser")
    root = folder / "runs"
    for fraction in (0.6, 0.8):
        for seed in (0, 1):
            train(operation="addition", modulus=7, train_fraction=fraction, seed=seed, steps=300, stop="never", runs=root, **SMALL)
    train(group="symmetric(3)", operation="group_product", train_fraction=0.7, steps=120, stop="never", runs=root, **SMALL)
    names = [EVIL, "<b>b</b>", "%{x}", "plain"]
    lines = [f'"{a}","{b}","{names[(i + j) % 4]}"' for i, a in enumerate(names) for j, b in enumerate(names)]
    (folder / "evil.csv").write_text("x,y,z\n" + "\n".join(lines) + "\n", encoding="utf-8")
    train(file=str(folder / "evil.csv"), train_fraction=0.6, steps=60, stop="never", runs=root, **SMALL)
    (root / "damaged-7-f0.50-s0-00000000").mkdir()
    (root / "damaged-7-f0.50-s0-00000000" / "run.json").write_text("{ <b>", encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def site(runs, tmp_path_factory):
    before, here = os.environ.get("XDG_CACHE_HOME"), Path.cwd()
    os.chdir(runs.parent)  # where there is no replication/
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    made = Site(runs)
    yield made
    made.close()
    maps.close()
    os.chdir(here)
    os.environ.pop("XDG_CACHE_HOME") if before is None else os.environ.update(XDG_CACHE_HOME=before)


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--headless", "--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def tab(browser, site):
    """A window whose errors, and requests to anywhere else, end the test."""
    made = Tab(browser, site)
    yield made
    made.context.close()
    assert made.wrong == []


class Tab:
    """One window on a site."""

    def __init__(self, browser, site, *, size=WIDE, scheme="light") -> None:
        self.site, self.wrong = site, []
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, accept_downloads=True)
        self.page = self.context.new_page()
        self.page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append("a dialog"))
        self.page.on("request", self._look)

    def _look(self, request) -> None:
        if not request.url.startswith((self.site.address, "data:", "blob:")):
            self.wrong.append(f"a request to {request.url}")

    def go(self, path):
        """Open a page and wait until it shows something of its own."""
        self.page.goto(self.site.address + path)
        self.settle()
        return self.page

    def settle(self):
        self.page.wait_for_selector("#page > .page, #page > .empty", timeout=120_000)
        until(self.page, "!document.querySelector('[data-dash-is-loading=true]')")
        self.page.wait_for_timeout(400)

    def address_holds(self, pattern):
        until(self.page, "text => new RegExp(text).test(decodeURIComponent(location.href))", arg=pattern)

    def traces(self, name, minimum=1):
        """The traces of a graph, once it has so many."""
        find = """([name, least]) => { const place = document.getElementById(JSON.stringify({graph: name}));
            const drawn = place && place.querySelector('.js-plotly-plot');
            return drawn && drawn.data && drawn.data.length >= least ? drawn.data.length : false }"""
        until(self.page, find, arg=[name, minimum])
        take = """name => document.getElementById(JSON.stringify({graph: name})).querySelector('.js-plotly-plot').data.map(
            t => ({name: t.name, type: t.type, x: Array.from(t.x || []), y: Array.from(t.y || [])}))"""
        return self.page.evaluate(take, name)


def named(site, start):
    return next(path.name for path in sorted(site.root.iterdir()) if path.name.startswith(start))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("path", PATHS)
def test_every_page_opens_without_an_error(browser, site, path, size, scheme):
    tab = Tab(browser, site, size=size, scheme=scheme)
    run = named(site, "addition-7-f0.80-s0")
    page = tab.go(path if path in ("/", "/sweeps") else f"{path}?run={run}")
    assert page.title() == "groklab"
    assert page.evaluate("document.documentElement.dataset.theme") == scheme
    assert page.locator(".notice.problem").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= size[0]
    until(page, "document.querySelectorAll('header nav a.here').length === 1")  # which a callback of the navigation marks
    if path == "/":
        assert page.locator("table.runs tbody tr").count() == 7
    else:
        until(page, "document.querySelectorAll('.js-plotly-plot .main-svg, .js-plotly-plot canvas').length > 0")
        page.wait_for_timeout(600)
    saved = os.environ.get("DASHBOARD_SCREENSHOTS")
    if saved:
        page.screenshot(path=f"{saved}/{path.strip('/') or 'runs'}-{scheme}-{size[0]}.png")
    tab.context.close()
    assert tab.wrong == []


def test_runs_are_filtered_sorted_grouped_and_chosen(tab):
    page = tab.go("/")
    page.locator("input").first.fill("addition train_fraction>0.7")
    tab.address_holds(r"filter=addition\+train_fraction>0\.7|filter=addition train_fraction>0\.7")
    until(page, "document.querySelectorAll('table.runs tbody tr').length === 2")
    page.reload()
    tab.settle()
    until(page, "document.querySelectorAll('table.runs tbody tr').length === 2")
    page.locator("input").first.fill("no_such_field=3")
    page.wait_for_selector(".notice.problem")
    assert "no_such_field" in page.locator(".notice.problem").inner_text()
    page.locator("input").first.fill("addition")
    until(page, "document.querySelectorAll('table.runs tbody tr').length === 4")
    page.get_by_role("link", name="validation").click()
    tab.address_holds("sort=-validation_accuracy")
    shares = "Array.from(document.querySelectorAll('table.runs tbody tr td:nth-child(7)'), cell => parseFloat(cell.innerText))"
    until(page, f"(found => found.length === 4 && found.every((share, k) => k === 0 || share <= found[k - 1]))({shares})")
    tab.go("/?filter=addition&group=train_fraction")
    until(page, "document.querySelectorAll('tr.group').length === 2")
    assert "generalized" in page.locator("tr.group").first.inner_text()
    boxes = page.locator("table.runs input[type=checkbox]")
    boxes.nth(0).check()
    page.wait_for_selector(".picked")
    boxes.nth(2).check()
    tab.address_holds("run=.*run=")
    page.get_by_role("link", name="compare their curves").click()
    page.wait_for_url("**/curves?**")
    tab.settle()
    assert page.url.count("run=") == 2
    assert len({trace["name"] for trace in tab.traces("curves", 8) if trace["name"]}) >= 2


def test_links_back_to_the_address_that_was_opened_lead_there(tab):
    """The controls have changed the address since: clear, the logo and the page's own tab take that back."""
    page = tab.go("/")
    chosen = "document.querySelectorAll('table.runs input:checked').length"
    page.locator("table.runs input[type=checkbox]").nth(0).check()
    page.wait_for_selector(".picked")
    tab.address_holds("run=")
    page.get_by_role("link", name="clear").click()
    until(page, f"!document.querySelector('.picked') && {chosen} === 0")
    assert page.url == f"{tab.site.address}/"
    for link in (page.locator("header .brand"), page.locator("header nav a").first):
        page.locator("input").first.fill("group")
        until(page, "document.querySelectorAll('table.runs tbody tr').length === 1")
        tab.address_holds("filter=group")
        if link.get_attribute("href") == "/":
            link.click()
            until(page, "document.querySelectorAll('table.runs tbody tr').length === 7")
            assert page.locator("input").first.input_value() == ""
            assert page.url == f"{tab.site.address}/"
    page = tab.go("/curves?filter=addition")
    page.locator(".choice").nth(1).get_by_text("linear").click()
    tab.address_holds("steps=linear")
    page.get_by_role("link", name="Curves").click()
    until(page, "!location.search.includes('steps=linear')")
    until(page, "document.querySelector('.js-plotly-plot')._fullLayout.xaxis.type === 'log'")
    page.go_back()
    until(page, "document.querySelector('.js-plotly-plot')._fullLayout.xaxis.type === 'linear'")
    tab.address_holds("steps=linear")


@pytest.mark.parametrize("path", ["/runs", "/runs/", "/curves/"])
def test_other_ways_to_write_a_page_follow_the_controls_too(tab, path):
    page = tab.go(path)
    page.locator("input.text, .text input").first.fill("addition")
    tab.address_holds("filter=addition")
    assert page.url == f"{tab.site.address}{'/' if path.startswith('/runs') else '/curves'}?filter=addition"


def test_curves_follow_their_controls_and_the_address_reproduces_them(tab):
    run = named(tab.site, "addition-7-f0.80-s0")
    page = tab.go(f"/curves?run={run}")
    assert {trace["name"] for trace in tab.traces("curves", 4)} == {"train", "validation"}
    page.locator(".choice").nth(1).get_by_text("linear").click()
    tab.address_holds("steps=linear")
    kind = "document.querySelector('.js-plotly-plot')._fullLayout.xaxis.type"
    until(page, f"{kind} === 'linear'")
    page.reload()
    tab.settle()
    until(page, f"{kind} === 'linear'")
    page.goto(f"{tab.site.address}/curves?filter=addition&draw=median&group=train_fraction&panel=accuracy&panel=weight_norm")
    tab.settle()
    names = [trace["name"] for trace in tab.traces("curves", 6)]
    assert any(name and "train fraction 0.6" in name for name in names)
    assert page.locator("table.plain tbody tr").count() == 2
    assert "2" in page.locator("table.plain tbody tr").first.inner_text()


def test_pictures_and_data_are_downloaded(tab, tmp_path):
    run = named(tab.site, "addition-7-f0.80-s0")
    page = tab.go(f"/curves?run={run}")
    tab.traces("curves", 4)
    saved = {}
    for kind in ("PNG", "SVG", "CSV"):
        with page.expect_download() as waiting:
            page.locator(".downloads").get_by_text(kind, exact=True).click()
        saved[kind] = tmp_path / waiting.value.suggested_filename
        waiting.value.save_as(saved[kind])
    assert saved["PNG"].read_bytes().startswith(b"\x89PNG")
    assert saved["SVG"].read_text(encoding="utf-8").startswith("<svg")
    rows = list(csv.DictReader(saved["CSV"].read_text(encoding="utf-8").splitlines()))
    stored = [json.loads(line) for line in (tab.site.root / run / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [int(row["step"]) for row in rows] == [row["step"] for row in stored]
    assert [float(row["validation_accuracy"]) for row in rows] == [row["validation_accuracy"] for row in stored]
    answer = page.request.get(tab.site.address + page.locator("a[data-kind=json]").get_attribute("href"))
    assert answer.json()["curves"][0]["runs"] == [run]


def test_the_table_fills_in_by_slider_keys_and_play(tab):
    run = named(tab.site, "addition-7-f0.80-s0")
    page = tab.go(f"/table?run={run}")
    last = page.locator(".step").inner_text()
    slider = page.locator(".player [role=slider]")
    slider.focus()
    slider.press("ArrowLeft")
    tab.address_holds("step=")
    until(page, "before => document.querySelector('.step').innerText !== before", arg=last)
    first = re.search(r"step=(\d+)", page.url)[1]
    page.reload()
    tab.settle()
    assert first in page.locator(".step").inner_text().replace(",", "")
    slider.focus()
    slider.press("Home")
    until(page, "document.querySelector('.step').innerText === 'step 0'")
    page.get_by_role("button", name="play the checkpoints").click()
    until(page, "before => document.querySelector('.step').innerText === before", arg=last)
    until(page, "document.getElementById('play').getAttribute('aria-label') === 'play the checkpoints'")
    assert "step=" not in page.url
    figure = page.locator(".js-plotly-plot").first
    box = figure.locator(".nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".hoverlayer .hovertext", timeout=120_000)
    told = figure.locator(".hoverlayer").text_content()
    assert "3 + 3 = 6" in told
    assert "probability" in told


def test_the_cells_of_a_table_of_numbers_say_their_equation(browser, tmp_path):
    train(operation="addition", modulus=31, train_fraction=0.5, steps=10, stop="never", runs=tmp_path, **SMALL)
    site = Site(tmp_path)
    tab = Tab(browser, site)
    page = tab.go("/table")
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(".hoverlayer .hovertext", timeout=120_000)
    told = page.locator(".hoverlayer").first.text_content()
    assert "15 + 15 = 30" in told
    assert re.search(r"answer \d+, probability 0\.\d{3}(hidden|training) cell", told)
    tab.context.close()
    site.close()
    assert tab.wrong == []


def test_rows_and_columns_are_sorted_by_the_group(tab):
    run = named(tab.site, "group_product")
    page = tab.go(f"/table?run={run}&order=classes&color=answer")
    answer = page.request.get(f"{tab.site.address}/api/table?run={run}&order=classes").json()
    assert sorted(answer["order"]) == list(range(6))
    assert answer["order"] != list(range(6))
    assert page.locator(".dash-dropdown").nth(1).inner_text().startswith("by conjugacy class")


def test_the_embedding_shows_circle_and_neighbors(tab):
    run = named(tab.site, "addition-7-f0.80-s0")
    page = tab.go(f"/embedding?run={run}")
    assert [trace["type"] for trace in tab.traces("space", 2)] == ["scatter3d", "scatter3d"]
    assert "circle of frequency" in page.locator(".card").nth(1).inner_text()
    page.locator(".choice").get_by_text("t-SNE").click()
    tab.address_holds("map=tsne")
    until(page, "document.querySelectorAll('.card')[1].innerText.includes('neighbors are kept')")
    assert len(tab.traces("map", 2)[-1]["x"]) == 7
    page.locator("input.narrow, .narrow input").fill("2")
    tab.address_holds("k=2")
    until(page, "document.querySelectorAll('.card')[1].innerText.includes('adding 2')")


def test_what_needs_the_network_is_computed_by_another_process_and_kept_elsewhere(tab):
    run = named(tab.site, "addition-7-f0.80-s0")
    before = sorted(str(path) for path in (tab.site.root / run).rglob("*"))
    page = tab.go(f"/circuit?run={run}")
    assert len(tab.traces("losses", 2)) == 2
    page.get_by_role("button", name=re.compile("Compute at .* checkpoints")).click()
    page.wait_for_selector(".asking .status.running", timeout=120_000)
    find = """() => document.getElementById(JSON.stringify({graph: 'losses'})).querySelector('.js-plotly-plot').data.length >= 4"""
    until(page, find)
    names = {trace["name"] for trace in tab.traces("losses", 4)}
    assert any("key ones alone" in name for name in names)
    assert any("without the key ones" in name for name in names)
    page.get_by_role("button", name="Compute at this checkpoint").click()
    until(
        page,
        "document.getElementById(JSON.stringify({graph: 'attention'})).querySelector('.js-plotly-plot').data.length === 2",
    )
    assert sorted(str(path) for path in (tab.site.root / run).rglob("*")) == before


def test_a_measure_that_does_not_apply_says_why(tab):
    run = named(tab.site, "from_file")
    page = tab.go(f"/circuit?run={run}")
    page.get_by_role("button", name=re.compile("Compute at .* checkpoints")).click()
    page.wait_for_selector(".asking .notice", timeout=120_000)
    assert "from_file" in page.locator(".asking .notice").inner_text()


def test_sweeps_show_fields_and_the_scorecard(tab, runs):
    claims = [{"id": "C1", "sentence": EVIL, "verdict": "reproduced", "value": 3.25, "interval": [1, None], "paper": "one", "reason": "x"}]
    (runs / "report.json").write_text(json.dumps({"claims": claims}), encoding="utf-8")
    page = tab.go("/sweeps?filter=addition&x=train_fraction")
    assert sum(len(trace["x"]) for trace in tab.traces("steps", 2)) >= 4
    page.wait_for_selector("table.claims")
    assert EVIL in page.locator("table.claims").inner_text()
    assert "✓ reproduced" in page.locator("table.claims").inner_text()
    page.locator(".choice").first.get_by_text("memorized").click()
    tab.address_holds("quantity=memorized_at")
    until(page, "document.body.innerText.includes('Steps to memorize')")
    (runs / "report.json").unlink()
    until(page, "!document.querySelector('table.claims')")


def test_tags_in_names_stay_text(tab):
    run = named(tab.site, "from_file")
    for path in ("table", "embedding", "circuit", "curves"):
        page = tab.go(f"/{path}?run={run}")
        page.wait_for_timeout(800)
        assert page.evaluate("window.stolen") is None
    page = tab.go(f"/table?run={run}")
    box = page.locator(".js-plotly-plot .nsewdrag").first.bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.wait_for_selector(".hoverlayer .hovertext", timeout=120_000)
    assert "<script>" in page.locator(".hoverlayer").first.text_content()
    assert page.locator("#page script, #page img[src=x]").count() == 0
    assert page.evaluate("window.stolen") is None


def test_a_damaged_run_is_told_and_its_pages_say_so(tab):
    page = tab.go("/")
    damaged = page.locator("tr.damaged")
    assert damaged.count() == 1
    assert "damaged" in damaged.inner_text()
    assert "not JSON" in damaged.inner_text()
    page = tab.go("/table?run=damaged-7-f0.50-s0-00000000")
    assert "damaged" in page.locator(".notice").first.inner_text()


def test_light_and_dark_by_switch_and_by_system(browser, site):
    tab = Tab(browser, site, scheme="dark")
    page = tab.go("/curves")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(22, 25, 29)"
    tab.traces("curves")
    page.locator("#switch").click()
    until(page, "document.documentElement.dataset.theme === 'light'")
    until(page, "document.querySelector('.js-plotly-plot')._fullLayout.paper_bgcolor.toLowerCase() === '#ffffff'")
    page.reload()
    tab.settle()
    assert page.evaluate(ground) == "rgb(255, 255, 255)"
    page.locator("#switch").click()
    page.locator("#switch").click()
    until(page, "document.documentElement.dataset.theme === 'dark'")
    page.emulate_media(color_scheme="light")
    until(page, "document.documentElement.dataset.theme === 'light'")
    tab.context.close()
    assert tab.wrong == []


def test_pages_are_used_by_keyboard(tab):
    page = tab.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.locator("body").press("/")
    assert page.evaluate("document.activeElement.tagName") == "INPUT"
    page.keyboard.type("group")
    until(page, "document.querySelectorAll('table.runs tbody tr').length === 1")
    page.locator("table.runs input[type=checkbox]").first.focus()
    page.keyboard.press("Space")
    page.wait_for_selector(".picked")
    page.wait_for_selector("nav a[href^='/table'][href*='run=group_product']")  # of a callback of its own, which may come later
    page.get_by_role("link", name="Table").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/table?**run=group_product**")
    page.go_back()
    page.wait_for_url("**/?**")
    tab.settle()
    assert page.locator("table.runs tbody tr").count() == 1


def test_letters_typed_fast_into_a_busy_page_keep_their_order(browser, site):
    tab = Tab(browser, site)
    # What the page means to do at once it does late, as where the processor is busy: a cursor that is put back late lands amid the text.
    tab.context.add_init_script("const at = window.setTimeout; window.setTimeout = (f, ms, ...more) => at(f, ms ? ms : 150, ...more);")
    page = tab.go("/")
    box = page.locator(".field.wide input:not([type=hidden])")
    for text in ("group", "train_fraction>=0.7"):
        box.fill("")
        box.press_sequentially(text, delay=60)
        tab.settle()
        assert box.input_value() == text
        until(page, "(text) => new URL(location).searchParams.get('filter') === text", text)
    tab.context.close()
    assert tab.wrong == []


def test_a_run_in_progress_is_seen_to_grow(browser, tmp_path):
    root = tmp_path / "runs"
    command = [sys.executable, "-m", "groklab", "train", "--operation", "addition", "--modulus", "13", "--width", "32", "--heads", "2"]
    command += [
        "--layers",
        "1",
        "--stop",
        "never",
        "--steps",
        "1000000",
        "--no-figures",
        "--evaluations-per-decade",
        "200",
        "--runs",
        str(root),
    ]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=tmp_path)
    site = Site(root)
    tab = Tab(browser, site)
    try:
        page = tab.go("/")
        page.wait_for_selector("table.runs .status.running", timeout=120_000)
        until(page, "document.querySelector('#live').innerText.includes('1 running')")
        assert page.locator(".bar").count() == 1
        page.get_by_role("link", name=re.compile("addition-13")).click()
        page.wait_for_url("**/curves?**")
        tab.settle()
        first = tab.traces("curves", 4)[0]["x"][-1]
        grown = "least => document.querySelector('.js-plotly-plot').data[0].x.slice(-1)[0] > least"
        until(page, grown, arg=first)
        page.goto(f"{site.address}/table")
        tab.settle()
        step = page.locator(".step").inner_text()
        until(page, "before => document.querySelector('.step').innerText !== before", arg=step)
        process.terminate()
        process.wait(300)
        page.goto(site.address)
        page.wait_for_selector("table.runs .status.interrupted", timeout=120_000)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        tab.context.close()
        site.close()
    assert tab.wrong == []


def test_with_a_token_pages_work_and_without_they_do_not(browser, runs):
    site = Site(runs, with_token=True)
    tab = Tab(browser, site)
    refused = tab.page.goto(site.address)
    assert refused.status == 401
    tab.page.wait_for_timeout(500)
    tab.wrong.clear()  # the browser logs the refusal, of the icon too
    page = tab.go(f"/?token={site.token}")
    assert "token" not in page.url
    page.wait_for_selector("table.runs")
    page.goto(site.address + "/sweeps")
    tab.traces("steps")
    tab.context.close()
    site.close()
    assert tab.wrong == []


def test_a_browser_that_is_opened_on_a_file_comes_to_the_page(browser, runs):
    site = Site(runs, with_token=True)
    tab = Tab(browser, site)
    with opened_as(f"{site.address}/?token={site.token}") as place:
        tab.page.goto(place)
        tab.page.wait_for_selector("table.runs", timeout=120_000)
    assert tab.page.url == f"{site.address}/"
    tab.context.close()
    site.close()
    assert [text for text in tab.wrong if "file:" not in text] == []


def test_a_play_of_frames_is_not_faster_than_the_pages(tab):
    """Each frame is drawn before the next is asked for: the labels pass one after the other."""
    run = named(tab.site, "addition-7-f0.80-s0")
    page = tab.go(f"/table?run={run}&step=0")
    page.evaluate("""() => { window.seen = []; new MutationObserver(() => { const label = document.querySelector('.step').innerText;
        if (window.seen.slice(-1)[0] !== label) window.seen.push(label); }).observe(document.querySelector('.step'), {childList: true, subtree: true, characterData: true}); }""")
    page.locator("body").press("Space")
    time.sleep(4)
    page.locator("body").press("Space")
    seen = [int(text.split()[1].replace(",", "")) for text in page.evaluate("window.seen")]
    steps = page.request.get(f"{tab.site.address}/api/table?run={run}").json()["steps"]
    assert len(seen) >= 2
    begun = steps.index(seen[0])
    assert begun <= 1
    assert seen == steps[begun : begun + len(seen)]
