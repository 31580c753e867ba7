"""A replication's report: the same from the same results, whole without the runs it was made from, and readable in a browser."""

import json
import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from groklab import cli, registry
from groklab.config.run import Run
from groklab.laboratory.runs import train
from groklab.registry.sources import is_built_in
from groklab.replication import archive as archives
from groklab.replication import replication as replicating
from groklab.replication import scorecard as report
from groklab.replication.evidence import Findings, left_out_of, stored_of, table_for_figure
from groklab.replication.pictures import Pictures
from groklab.replication.words import SPREAD
from groklab.results.files import StoreError
from groklab.results.history import kept_histories, read_evaluations
from groklab.stored.run import load

REPOSITORY = Path(__file__).parent.parent
KEPT = REPOSITORY / "replication" / "laptop"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two experiments at the scale smoke, one that looks into a layer, with their report and archive."""
    folder = tmp_path_factory.mktemp("replicated")
    words = ["replicate", "figure3_right", "width_sweep", "--scale", "smoke", "--workers", "1", "--archive", "--json"]
    assert cli.main([*words, "--runs", str(folder / "runs"), "--output", str(folder / "out")]) == 0
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """The report and its archive without the runs."""
    return Path(shutil.copytree(made / "out", tmp_path / "out"))


def texts(folder):
    return {path.name: path.read_bytes() for path in folder.glob("report.*")}


def test_the_same_results_give_the_same_report(made, copy, capsys):
    found = replicating.report_again(copy, made / "runs")
    again = replicating.report_again(copy, made / "runs")
    assert found == again
    assert {name: text for name, text in texts(copy).items() if name != "report.json"} == {
        name: text for name, text in texts(made / "out").items() if name != "report.json"
    }


def test_a_report_is_made_again_from_its_archive_alone(made, copy, capsys):
    for path in copy.iterdir():
        if path.name not in ("report.json", archives.NAME, "findings.json"):
            path.unlink()
    assert cli.main(["report", str(copy.parent), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    first = json.loads((made / "out" / "report.json").read_text(encoding="utf-8"))
    assert told["claims"] == first["claims"]
    assert [part["files"] for part in told["experiments"]] == [part["files"] for part in first["experiments"]]
    for part in told["experiments"]:
        assert all((copy / file).exists() for file in part["files"])
        assert part["stored"] == part["runs"]


def test_a_layer_is_found_again_from_what_the_archive_keeps_of_it(made, copy):
    before = json.loads((copy / "findings.json").read_text(encoding="utf-8"))
    (copy / "findings.json").unlink()
    replicating.report_again(copy)
    assert json.loads((copy / "findings.json").read_text(encoding="utf-8")) == before


def test_an_archive_is_small_and_always_the_same(made, tmp_path):
    folders = [load(path.name, runs=made / "runs").folder for path in sorted((made / "runs").iterdir())]
    for name in ("a", "b"):
        archives.pack(reversed(folders) if name == "b" else folders, [folders[0].id], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    unpacked = archives.unpack(tmp_path / "a", tmp_path / "into")
    assert sorted(path.name for path in unpacked.iterdir()) == sorted(folder.id for folder in folders)
    with_layer = [path.name for path in unpacked.iterdir() if (path / "checkpoints").exists()]
    assert with_layer == [folders[0].id]
    layer = load(folders[0].id, runs=unpacked)
    assert set(layer.folder.read_step("checkpoints")[1]) <= set(archives.DRAWN)
    assert layer.rows == load(folders[0].id, runs=made / "runs").rows


def test_a_damaged_layer_does_not_end_an_archive_and_plugins_are_in_it(made, tmp_path):
    runs = Path(shutil.copytree(made / "runs", tmp_path / "runs"))
    first, second, *_ = [load(path.name, runs=runs).folder for path in sorted(runs.iterdir())]
    layer = max((first.path / "checkpoints").iterdir())
    layer.write_bytes(layer.read_bytes()[:-9])
    (second.path / "plugins").mkdir()
    (second.path / "plugins" / "mine.py").write_text("mine = 1\n", encoding="utf-8")
    archives.pack([first, second], [first.id, second.id], tmp_path / "a")
    unpacked = archives.unpack(tmp_path / "a", tmp_path / "into")
    assert load(first.id, runs=unpacked).rows == load(first.id, runs=runs).rows
    assert not (unpacked / first.id / "checkpoints").exists()
    assert (unpacked / second.id / "plugins" / "mine.py").read_text(encoding="utf-8") == "mine = 1\n"


def test_a_report_grows_by_what_is_replicated_into_it(made, copy, tmp_path, capsys):
    """What it said of others stays, each is made again from its own runs, and an archive has them all."""
    before = json.loads((copy / "report.json").read_text(encoding="utf-8"))
    words = ["--scale", "smoke", "--workers", "1", "--runs", str(tmp_path / "other"), "--output", str(copy), "--json"]
    assert cli.main(["replicate", "figure1_right", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    origin = {part["experiment"]: part["origin"] for part in told["experiments"]}
    assert origin == {"figure1_right": "../other", "figure3_right": archives.NAME, "width_sweep": archives.NAME}
    assert {claim["id"]: claim for claim in told["claims"]}.items() >= {claim["id"]: claim for claim in before["claims"]}.items()
    assert cli.main(["report", str(copy), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["claims"] == told["claims"]
    assert [(part["stored"], part["origin"]) for part in again["experiments"]] == [
        (part["stored"], origin[part["experiment"]]) for part in told["experiments"]
    ]
    assert cli.main(["replicate", "figure1_right", *words, "--archive"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert {part["origin"] for part in whole["experiments"]} == {archives.NAME}
    assert [part["stored"] for part in whole["experiments"]] == [part["runs"] for part in whole["experiments"]]


def test_the_report_of_new_runs_stays_theirs_beside_an_older_archive(made, copy, tmp_path, capsys):
    runs = Path(shutil.copytree(made / "runs", tmp_path / "runs"))
    lost = next(path for path in sorted(runs.iterdir()) if load(path.name, runs=runs).values["operation"] == "division")
    shutil.rmtree(lost)
    words = ["width_sweep", "--scale", "smoke", "--no-train", "--runs", str(runs), "--output", str(copy), "--json"]
    assert cli.main(["replicate", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    stored = {part["experiment"]: (part["stored"], part["runs"]) for part in told["experiments"]}
    assert stored["width_sweep"] == (3, 4)
    again = replicating.report_again(copy)
    assert {part["experiment"]: (part["stored"], part["runs"]) for part in again["experiments"]} == stored
    shutil.rmtree(runs)
    with pytest.raises(StoreError, match="are not any more"):
        replicating.report_again(copy)


def test_a_broken_archive_is_named(copy):
    (copy / archives.NAME).write_bytes((copy / archives.NAME).read_bytes()[:100])
    with pytest.raises(StoreError, match="cannot be unpacked"):
        replicating.report_again(copy)


def test_several_reports_are_one_json_object(copy, capsys):
    shutil.copytree(copy, copy.parent / "another")
    assert cli.main(["report", str(copy.parent), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["reports"]) == 2


def test_a_damaged_report_is_named(copy, capsys):
    (copy / "report.json").write_text('{"scale": "smoke"}', encoding="utf-8")
    assert cli.main(["report", str(copy)]) == 1
    assert "report.json is damaged" in capsys.readouterr().err


def test_a_folder_without_a_report_is_refused(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path)]) == 2
    assert "expected a folder that `groklab replicate` wrote" in capsys.readouterr().err


def test_markdown_and_page_tell_every_claim_and_figure(made):
    found = json.loads((made / "out" / "report.json").read_text(encoding="utf-8"))
    markdown, page = ((made / "out" / f"report.{suffix}").read_text(encoding="utf-8") for suffix in ("md", "html"))
    for claim in found["claims"]:
        assert claim["id"] in markdown
        assert f"id='{claim['id']}'" in page
        assert claim["verdict"] in markdown
        assert set(claim) >= {"id", "verdict", "value", "interval", "paper", "reason", "rule", "price"}
        assert claim["rule"].startswith("Rule")
    assert page.count("data:image/png;base64,") == 2
    assert not re.search(r"(src|href)='(?!data:)", page), "nothing is fetched"
    assert "<script" not in page
    for told in (markdown, page):
        assert SPREAD in told
        assert "before any run was judged" in told
    assert found["summary"] in markdown
    assert [part["experiment"] for part in found["experiments"]] == ["figure3_right", "width_sweep"]


def test_a_report_tells_what_more_steps_could_turn_and_which_rules_were_amended(made, copy, capsys):
    found = json.loads((copy / "report.json").read_text(encoding="utf-8"))
    assert {claim["settled"] for claim in found["claims"]} <= {True, False, None}
    by_id = {claim["id"]: claim for claim in found["claims"]}
    assert by_id["C12"]["settled"] is None
    by_id["C18"]["settled"], by_id["C20"]["settled"] = False, True
    report.write_report(found, copy)
    for name in ("report.md", "report.html"):
        text = (copy / name).read_text(encoding="utf-8")
        assert text.count("not settled: more steps could turn it") == 1
        assert text.count("settled: more steps cannot turn it") == 1
        assert "Amended 2026-12-01, after its runs: the sentence is about a network" in text
    assert cli.main(["report", str(copy)]) == 0
    assert " C18  undecided" in capsys.readouterr().out


def test_a_verdict_that_falls_is_listed_as_withdrawn_until_it_stands_again(made, copy, capsys):
    path = copy / "report.json"
    old = json.loads(path.read_text(encoding="utf-8"))
    now = {claim["id"]: claim for claim in old["claims"]}
    assert (now["C18"]["verdict"], now["C12"]["verdict"], old["withdrawn"]) == ("undecided", "reproduced", [])
    now["C18"] |= {"verdict": "reproduced", "reason": "most <networks> had both", "rule": "Rule: most."}
    now["C20"] |= {"verdict": "not reproduced", "reason": "less clear", "details": []}
    now["C12"] |= {"verdict": "undecided"}
    path.write_text(json.dumps(old | {"date": "2026-11-29"}), encoding="utf-8")
    assert cli.main(["report", str(copy), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["withdrawn"]
    assert [(entry["id"], entry["verdict"], entry["said"], entry["reported"]) for entry in told] == [
        ("C18", "reproduced", "most <networks> had both", "2026-11-29"),
        ("C20", "not reproduced", "less clear", "2026-11-29"),
    ]
    assert told[0]["reason"].startswith("by the rule as it was, the sentence is about a network")
    assert told[1]["reason"].startswith("other results. Now undecided: ")
    assert "## Withdrawn" in (copy / "report.md").read_text(encoding="utf-8")
    page = (copy / "report.html").read_text(encoding="utf-8")
    assert "<ul id='withdrawn'><li><b>C18</b> was reproduced on 2026-11-29 (“most &lt;networks&gt; had both”)" in page
    assert cli.main(["report", str(copy)]) == 0
    assert " C18  withdrawn: was reproduced on 2026-11-29; by the rule as it was" in capsys.readouterr().out
    again = json.loads(path.read_text(encoding="utf-8"))
    assert again["withdrawn"] == told, "making the report again changes nothing"
    again["withdrawn"][0]["verdict"] = "undecided"
    path.write_text(json.dumps(again | {"withdrawn": [*again["withdrawn"], {"id": "C1"}, 5]}), encoding="utf-8")
    assert [entry["id"] for entry in replicating.report_again(copy)["withdrawn"]] == ["C20"]


def test_an_undecided_claim_tells_what_deciding_costs(made):
    found = json.loads((made / "out" / "report.json").read_text(encoding="utf-8"))
    price = {claim["id"]: claim["price"] for claim in found["claims"]}["C18"]
    assert re.fullmatch(r"3 runs, at most .* of one core: groklab replicate figure3_right --scale laptop", price)
    assert {claim["id"]: claim["price"] for claim in found["claims"]}["C12"] is None


def test_a_price_is_of_a_scale_that_decides_at_the_speed_of_stored_runs(made):
    from groklab.config.experiments import settings_of

    million, norms = (next(e for e in registry.entries("claim").values() if e.facts["id"] == name) for name in ("C2", "O1"))
    told = report._price(million, settings_of("figure1_left", "laptop"), made / "none", "laptop")
    assert re.fullmatch(r"5 runs, at most 18 hours of one core: groklab replicate figure1_left --scale paper", told)
    assert report._price(norms, settings_of("omnigrok_norms", "laptop"), made / "none", "laptop").startswith("10 runs")
    settings = settings_of("width_sweep", "smoke")
    assert report._seconds_a_step(settings, made / "none") == report.SECONDS_A_STEP
    assert 0 < report._seconds_a_step(settings, made / "runs") != report.SECONDS_A_STEP


def test_notes_stand_beside_the_verdict(made, tmp_path):
    found = json.loads((made / "out" / "report.json").read_text(encoding="utf-8"))
    claim = next(claim for claim in found["claims"] if claim["id"] == "C18")
    claim["notes"] = ["line_of_output: unknown for 1 of 3 runs"]
    folder = copy_of(made, tmp_path)
    report.write_report(found, folder)
    assert f"- C18: {claim['notes'][0]}" in (folder / "report.md").read_text(encoding="utf-8")
    assert f"<dd>{claim['notes'][0]}</dd>" in (folder / "report.html").read_text(encoding="utf-8")


def test_what_is_told_from_files_is_text(made, tmp_path):
    found = json.loads((made / "out" / "report.json").read_text(encoding="utf-8"))
    found["claims"][0]["reason"] = "<script>alert(1)</script>"
    report.write_report(found, copy_of(made, tmp_path))
    assert "<script>alert" not in (tmp_path / "copy" / "report.html").read_text(encoding="utf-8")


def copy_of(made, tmp_path):
    return Path(shutil.copytree(made / "out", tmp_path / "copy"))


def test_deleting_results_and_running_again_restores_the_verdicts(made, tmp_path, capsys):
    runs = Path(shutil.copytree(made / "runs", tmp_path / "runs"))
    shutil.rmtree(next(runs.iterdir()))
    words = ["replicate", "figure3_right", "width_sweep", "--scale", "smoke", "--workers", "1", "--json"]
    assert cli.main([*words, "--runs", str(runs), "--output", str(tmp_path / "out")]) == 0
    told = json.loads(capsys.readouterr().out)
    first = json.loads((made / "out" / "report.json").read_text(encoding="utf-8"))
    judged = [{key: claim[key] for key in ("id", "verdict", "value", "reason")} for claim in told["claims"]]
    assert judged == [{key: claim[key] for key in ("id", "verdict", "value", "reason")} for claim in first["claims"]]


def test_an_unfinished_run_is_censored_where_it_stands(tmp_path):
    short = Run.of(operation="addition", modulus=5, layers=1, heads=2, width=8, steps=20, train_fraction=0.6)
    train(short, runs=tmp_path)
    long = short.replace(steps=1000)
    table = replicating.results_of({"x": [long]}, runs=tmp_path)
    assert table["evaluated_at"].to_list() == [20]


def test_a_figure_shows_no_run_that_stops_too_soon_for_it_and_says_what_it_leaves_out(tmp_path):
    full = Run.of(operation="addition", modulus=5, layers=1, heads=2, width=8, steps=20, train_fraction=0.6)
    short = full.replace(seed=1, stop="memorized")
    for run in (full, short):
        train(run, runs=tmp_path)
    settings = {"Adam": [full, short], "AdamW": [full.replace(seed=2)]}
    table = replicating.results_of(settings, runs=tmp_path)
    assert table_for_figure("figure2_left", settings, table, tmp_path)["id"].to_list() == [full.id]
    assert table_for_figure("figure1_center", settings, table, tmp_path) is None
    told = left_out_of("figure2_left", settings, table)
    assert told == ["Not in the figure, for want of a run: AdamW.", "Not in the figure: runs that stop once they have memorized, 1."]
    assert table_for_figure("figure1_left", settings, table, tmp_path)["title"].unique().to_list() == ["x + y (mod 5), 60 % shown"]


def test_findings_that_cannot_be_read_are_found_again(tmp_path):
    (tmp_path / "findings.json").write_text("{ broken", encoding="utf-8")
    assert Findings.kept_in(tmp_path / "findings.json").known == {}


def test_findings_and_pictures_are_of_the_budget_however_far_the_run_went(tmp_path):
    short = Run().replace(
        operation="addition", modulus=7, train_fraction=0.6, layers=1, heads=2, width=8, steps=10, checkpoints_per_decade=5, stop="never"
    )
    settings = {"AdamW": [short]}
    once = train(short, runs=tmp_path)
    before = Findings(tmp_path / "findings.json").of("circle_of_output", once)
    train(short.replace(steps=100), runs=tmp_path)
    (again,) = [run for _, run in stored_of(settings, tmp_path)]
    assert again.folder.steps_of("checkpoints")[-1] == 100
    assert Findings(tmp_path / "findings.json").of("circle_of_output", again) == before
    assert Findings(tmp_path / "findings.json").of("circle_of_output", load(short.id, runs=tmp_path)) != before
    drawn = table_for_figure("figure3_right", settings, replicating.results_of(settings, runs=tmp_path), tmp_path)
    assert set(drawn["step"]) == {10}
    # Without its checkpoints what was found of them is still told, up to the same step.
    kept = Findings(
        tmp_path / "findings.json", known={"circle_of_output": {f"{short.id}@{step}": {"circle_score": step} for step in (10, 100)}}
    )
    shutil.rmtree(again.folder.path / "checkpoints")
    (bare,) = [run for _, run in stored_of(settings, tmp_path)]
    assert kept.of("circle_of_output", bare) == {"circle_score": 10}


@pytest.mark.medium
def test_the_page_opens_in_a_browser_and_every_figure_is_seen(made):
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--headless", "--no-sandbox"])
        for size, scheme in (((1280, 800), "light"), ((390, 844), "dark")):
            page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
            said, asked = [], []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto((made / "out" / "report.html").as_uri())
            pictures = page.locator("figure img")
            assert pictures.count() == 2
            for number in range(pictures.count()):
                pictures.nth(number).scroll_into_view_if_needed()
                assert pictures.nth(number).evaluate("image => image.complete && image.naturalWidth > 100 && image.clientWidth > 100")
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), "nothing runs over the edge"
            page.locator("summary").first.click()
            assert page.locator("details[open] p").first.is_visible()
            assert said == []
            assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
        browser.close()


# — what is kept in the repository —


@pytest.mark.skipif(not (KEPT / archives.NAME).exists(), reason="no results are kept here")
def test_the_kept_scorecard_is_what_the_kept_results_give(tmp_path):
    folder = tmp_path / "laptop"
    folder.mkdir()
    for name in ("report.json", archives.NAME, "findings.json"):
        shutil.copy(KEPT / name, folder / name)
    kept = json.loads((KEPT / "report.json").read_text(encoding="utf-8"))
    found = replicating.report_again(folder)
    assert found["claims"] == kept["claims"]
    assert found["summary"] == kept["summary"]
    assert found["withdrawn"] == kept["withdrawn"], "what has fallen stays told"
    assert [part["stored"] for part in found["experiments"]] == [part["stored"] for part in kept["experiments"]]


@pytest.mark.skipif(not KEPT.exists(), reason="nothing is kept")
def test_what_is_kept_is_small_and_is_of_every_experiment():
    assert sum(path.stat().st_size for path in KEPT.parent.rglob("*") if path.is_file()) < 20_000_000
    kept = json.loads((KEPT / "report.json").read_text(encoding="utf-8"))
    own = {
        name for name, entry in registry.entries("experiment").items() if is_built_in(entry.function)
    }  # other tests register some as well
    assert {part["experiment"] for part in kept["experiments"]} == own
    assert kept["runs"] == archives.NAME


def drawn_now(folder):
    """Pictures that a report made again has written anew."""
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}
    replicating.report_again(folder)
    return {path.name for path in folder.glob("*.png") if path.stat().st_mtime_ns != before.get(path.name)}


def test_a_picture_is_drawn_again_only_when_what_it_is_drawn_from_has_changed(copy, capsys):
    pictures = {"figure3_right.png", "width_sweep.png"}
    assert drawn_now(copy) == set()
    contents = {name: (copy / name).read_bytes() for name in pictures}
    (copy / "width_sweep.png").write_bytes(b"damaged")
    (copy / "figure3_right.png").unlink()
    assert drawn_now(copy) == pictures
    assert {name: (copy / name).read_bytes() for name in pictures} == contents
    kept = json.loads((copy / "pictures.json").read_text(encoding="utf-8"))
    assert set(kept) == pictures
    kept["width_sweep.png"][0] = "another table, figure or version"
    (copy / "pictures.json").write_text(json.dumps(kept), encoding="utf-8")
    assert drawn_now(copy) == {"width_sweep.png"}
    for text in ("", "[]", '{"width_sweep.png": 5}', "{" * 100_000):
        (copy / "pictures.json").write_text(text, encoding="utf-8")
        assert drawn_now(copy) == pictures, text[:20]


def test_what_a_picture_is_drawn_from_is_told_apart(copy, tmp_path):
    table = pl.DataFrame({"a": [1.0, 0.1 + 0.2], "b": ["x", None]})
    others = [table.with_columns(a=pl.col("a").cast(pl.Float32)), table.head(1), table.with_columns(b=pl.lit("x")), table.select("b", "a")]
    figure, calls = "steps_against(x='width')", []
    kept = Pictures(tmp_path / "pictures.json")
    picture = tmp_path / "p.png"

    def drawing():
        calls.append(len(calls))
        picture.write_bytes(b"%d" % len(calls))

    for known, source in [
        (figure, table),
        (figure, table),
        *((figure, other) for other in others),
        ("steps_against(x='modulus')", others[-1]),
    ]:
        kept.draw(known, source, picture, drawing)
    assert len(calls) == 6, "one table twice is drawn once"


def test_a_history_is_read_once_while_it_does_not_change(made):
    folder = next(path for path in sorted((made / "runs").iterdir()) if (path / "history.jsonl").is_file())
    with kept_histories():
        first = read_evaluations(folder)
        first.rows[0]["train_loss"] = "changed by whoever read it"
        assert read_evaluations(folder).rows[0]["train_loss"] != "changed by whoever read it"
        assert read_evaluations(folder).reached == first.reached
    copied = Path(shutil.copytree(folder, made / "copied"))
    with kept_histories():
        rows = read_evaluations(copied).rows
        (copied / "state.safetensors").unlink(missing_ok=True)
        lines = (copied / "history.jsonl").read_bytes().splitlines(keepends=True)
        (copied / "history.jsonl").write_bytes(b"".join(lines[:-1]))
        assert read_evaluations(copied).rows == rows[:-1]
    shutil.rmtree(copied)
