"""Tables with blanks are completed by networks that found their rule, and refused where they only memorized."""

import csv
import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest

import groklab as gl
from groklab.cli import main
from groklab.completion import votes as completions
from groklab.completion.blanks import blanks_of
from groklab.completion.calibration import temperature
from groklab.completion.votes import Network, Suspicion, at_least, corrected, suspicions, votes
from groklab.config.fields import Task
from groklab.data.identification import structure_of
from groklab.data.properties import has_inverses, neutral_element
from groklab.data.tables import table_of

QUICK = ["--seeds", "3", "--workers", "1"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def write_table(answers, names, blanks, *, seed=0, path="table.csv"):
    """A table as users have them: rows in disorder, some answers blank and some pairs left out; its truth by names."""
    chance = random.Random(seed)
    truth = {(names[x], names[y]): names[z] for (x, y), z in answers.items()}
    pairs = chance.sample(sorted(truth), len(truth))
    hidden = set(pairs[: round(blanks * len(pairs))])
    left_out = set(pairs[: round(blanks * len(pairs)) // 4])
    chance.shuffle(pairs)
    rows = [[x, y, "" if (x, y) in hidden else truth[x, y]] for x, y in pairs if (x, y) not in left_out]
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["x", "y", "z"], *rows])
    return truth, hidden


def names_of(n, seed=1):
    chance = random.Random(seed)
    return ["".join(chance.choices("bcdfghklmnprst", k=4)) + str(i) for i in chance.sample(range(n), n)]


def addition(n=23):
    return {(x, y): (x + y) % n for x in range(n) for y in range(n)}


# — from the table to the completed table —


@pytest.mark.medium
def test_addition_under_other_names_is_completed_without_error(capsys):
    truth, hidden = write_table(addition(), names_of(23), 0.4)
    assert main(["complete", "table.csv", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "23 elements, 529 cells, 317 of them known, 212 to fill" in out
    assert "Found: 3 of 3 networks" in out
    assert "isomorphic to cyclic(23)" in out
    table = pl.read_csv("table-completed.csv")
    assert table.columns == ["x", "y", "z", "filled", "supported", "confidence", "agreement"]
    assert {(x, y): z for x, y, z in table.select("x", "y", "z").rows()} == truth
    assert set(table.filter("filled").select("x", "y").rows()) == hidden
    assert table["supported"].all()
    assert table["agreement"].is_between(0, 1).all()
    assert table.filter("filled")["confidence"].min() > 0.5
    waiting = []
    assert gl.complete("table.csv", seeds=3, workers=1, on_progress=lambda tally: waiting.append(tally.count("waiting"))).is_found
    assert set(waiting) == {0}, "all is stored"
    # The completed table is a table like any other.
    assert main(["table", "--operation", "from_file", "--file", "table-completed.csv", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["properties"]["group"] is True


@pytest.mark.medium
def test_random_values_are_refused_with_the_statement_that_nothing_was_found(capsys):
    chance = random.Random(3)
    answers = {pair: chance.randrange(23) for pair in addition()}
    _, hidden = write_table(answers, names_of(23), 0.4)
    words = ["complete", "table.csv", "--seeds", "2", "--workers", "1", "--preset", "gromov", "--steps", "400", "--output", "new/full.csv"]
    assert main(words) == 1
    out, _ = capsys.readouterr()
    assert "Nothing was found: the networks have only memorized what they were shown." in out
    assert "No file was written" in out
    assert not Path("new/full.csv").exists()
    assert main([*words, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["voters"], found["output"]) == ("memorized", 0, None)
    assert found["at_least"] < 0.2
    assert len(found["filled"]) == len(hidden)
    assert main([*words, "--force"]) == 0
    out, err = capsys.readouterr()
    assert "written with --force, though nothing was found" in err
    assert pl.read_csv("new/full.csv").height == 529


@pytest.mark.medium
def test_mistakes_in_the_table_are_pointed_out():
    truth, _ = write_table(addition(), names_of(23), 0.3)
    rows = list(csv.reader(Path("table.csv").read_text(encoding="utf-8").splitlines()))
    names = sorted({x for x, _ in truth})
    wrong = {}
    for row in random.Random(5).sample([row for row in rows[1:] if row[2]], 8):
        row[2] = wrong[row[0], row[1]] = next(name for name in random.Random(row[0]).sample(names, 2) if name != row[2])
    with open("table.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    found = gl.complete("table.csv", seeds=4, workers=1, presets="gromov")
    assert found.is_found
    assert found.suspicions
    for suspicion in found.suspicions:
        assert wrong[suspicion.x, suspicion.y] == suspicion.z
        assert suspicion.answer == truth[suspicion.x, suspicion.y]
    table = found.table
    kept = {(x, y): z for x, y, z in table.filter(~table["filled"]).select("x", "y", "z").rows()}
    assert all(kept[pair] == z for pair, z in wrong.items()), "known cells stay as the user has them"
    assert not found.structure.commutative
    assert found.corrected.commutative_share > found.structure.commutative_share


@pytest.mark.medium
def test_a_stopped_completion_goes_on_to_the_same_end():
    write_table(addition(), names_of(23), 0.3)
    settings = {"seeds": [0, 4], "workers": 1, "presets": "gromov", "steps": 60, "stop": "never"}
    undisturbed = gl.complete("table.csv", runs="there", **settings)
    asked = []
    with pytest.raises(KeyboardInterrupt):
        gl.complete("table.csv", should_stop=lambda: asked.append(1) or len(asked) > 25, **settings)
    told = []
    resumed = gl.complete("table.csv", on_progress=lambda tally: told.append(tally.jobs[0].step), **settings)
    assert 0 < min(step for step in told if step) <= 60
    assert resumed.table.equals(undisturbed.table)
    assert [network.id for network in resumed.networks] == [network.id for network in undisturbed.networks]


@pytest.mark.medium
def test_fields_of_the_network_are_flags(capsys):
    write_table(addition(7), names_of(7), 0.2)
    words = ["complete", "table.csv", "--seeds", "1", "--preset", "quick_transformer", "--steps", "3", "--width", "32", "--force", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "not learned"
    assert found["output"] == "table-completed.csv"
    run = gl.load(found["runs"][0]["id"]).run
    assert (run.model.width, run.model.layers, run.budget.steps, run.task.train_fraction) == (32, 1, 3, 0.9)
    assert run.training.optimizer.startswith("muon")


# — bad input —

HEAD = "x,y,z\n"
FULL = HEAD + "".join(f"{x},{y},{(x + y) % 5}\n" for x in range(5) for y in range(5))


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        (FULL, "", "nothing to complete: all 25 cells have an answer"),
        ("", "", "empty; expected a header"),
        (HEAD, "", "no rows below the header"),
        (HEAD + "a,a,\n", "", "got 0 cells with a known z"),
        (HEAD + "a,a,a\n", "", "got 1 cells with a known z"),
        (FULL.replace("1,1,2", "1,1,").replace("0,0,0", "0,0,").replace("4,4,3", "0,1,2"), "", "lines 3 and 26: the cell (0, 1) is given twice, with z = '1' and z = '2'"),
        ("".join(FULL.splitlines(True)[:20]), "", "got 19 cells with a known z; expected at least 20"),
        ("".join(line if line == HEAD else line[:4] + "q\n" for line in FULL.splitlines(True)[:-1]), "", "all 24 known cells have the answer 'q'"),
        (FULL[:-2] + "\n", "--output table.csv", "which is the table itself"),
        (FULL[:-2] + "\n", "--output ./table.csv --force", "which is the table itself"),
        (FULL[:-2] + "\n", "--output old.csv", "which is there already"),
        (FULL[:-2] + "\n", "--output full.xlsx", "ends in .csv or .parquet"),
        (FULL[:-2] + "\n", "--output old.csv/full.csv", "expected a place that can be written"),
        (FULL[:-2] + "\n", "--output folder.csv --force", "a folder; expected a file"),
        (FULL[:-2] + "\n", "--seeds 0", "expected at least one of each"),
        (FULL[:-2] + "\n", "--required-accuracy 1.5", "expected a share between 0 and 1"),
        (FULL[:-2] + "\n", "--preset gromof", "unknown preset 'gromof'"),
        (FULL[:-2] + "\n", "--layers 0", "layers: got 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_completed_is_said_before_anything_is_trained(capsys, content, words, message):
    Path("table.csv").write_text(content, encoding="utf-8")
    Path("old.csv").write_text("kept", encoding="utf-8")
    Path("folder.csv").mkdir()
    assert main(["complete", "table.csv", *words.split()]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert not Path("runs").exists()
    assert Path("table.csv").read_text(encoding="utf-8") == content
    assert Path("old.csv").read_text(encoding="utf-8") == "kept"


def test_the_table_and_the_seeds_are_no_fields():
    Path("table.csv").write_text(FULL[:-2] + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match="train_fraction: got 0.5; expected no such field"):
        gl.complete("table.csv", train_fraction=0.5)


# — evidence and votes —


def small_table(z):
    """Cells (i, j) of three elements a, b, c; z by number, −1 for a blank."""
    rows = [f"{x},{y},{'' if z[3 * i + j] < 0 else 'abc'[z[3 * i + j]]}" for i, x in enumerate("abc") for j, y in enumerate("abc")]
    Path("table.csv").write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")
    return table_of(Task(operation="from_file", file="table.csv"))


def network(name, answer, held_out, probability=0.5):
    answer, held_out = np.array(answer), np.array(held_out, dtype=np.int64)
    trained = np.setdiff1d(np.arange(len(answer)), held_out)
    return Network(name, 0, 1, answer, np.broadcast_to(probability, len(answer)).astype(float), trained, held_out)


def test_most_votes_decide_and_then_the_probabilities():
    table = small_table([0, 1, 2, 1, 2, 0, 2, -1, -1])
    networks = [
        network("p", [0, 1, 2, 1, 2, 0, 2, 0, 2], [0], 0.2),
        network("q", [0, 1, 2, 1, 2, 0, 2, 0, 1], [1], 0.9),
        network("r", [1, 1, 2, 1, 2, 0, 2, 1, 0], [2], 0.3),
    ]
    result = votes(table, networks)
    assert result.answer.tolist() == [0, 1, 2, 1, 2, 0, 2, 0, 1], "two of three for 0; one each for 2, 1 and 0, of which q is the surest"
    assert np.allclose(result.agreement, [2 / 3, 1, 1, 1, 1, 1, 1, 2 / 3, 1 / 3])


def test_the_bound_is_that_of_clopper_and_pearson():
    for right, of in ((0, 5), (1, 1), (30, 32), (96, 96), (3, 100)):
        assert at_least(right, of) == pytest.approx(binomtest(right, of, alternative="greater").proportion_ci(0.95, "exact").low)


def evidence_of(table, networks, **asked):
    return completions.evidence_of(table, networks, blanks_of(table), **asked)


def square_table(n):
    Path("table.csv").write_text(
        HEAD + "".join(f"{x},{y},{(x * 3 + y) % n if x + y else ''}\n" for x in range(n) for y in range(n)), encoding="utf-8"
    )
    return table_of(Task(operation="from_file", file="table.csv"))


def test_the_verdict_rests_on_distinct_held_out_cells():
    table = square_table(12)
    right = table.z.astype(np.int64).copy()
    right[0] = 0
    first, second = np.arange(1, 31), np.arange(20, 50)
    evidence = evidence_of(table, [network("p", right, first), network("q", right, second)], asked=2, required=0.9)
    assert (evidence.verdict, evidence.held_out, evidence.right) == ("found", 49, 49)
    few = evidence_of(table, [network("p", right, first[:10]), network("q", right, first[:10])], asked=2, required=0.9)
    assert (few.verdict, few.held_out) == ("undecided", 10), "the same ten cells twice are ten cells"
    wrong = right.copy()
    wrong[[25, 26]] = (right[[25, 26]] + 1) % 12
    mixed = evidence_of(table, [network("p", wrong, first), network("q", right, second)], asked=2, required=0.9)
    assert (mixed.right, mixed.voters) == (47, ("p", "q")), "right is what all voters have right that were not shown it"


def test_the_bound_holds_though_voters_are_chosen_by_the_cells_it_rests_on():
    table = square_table(24)
    right, stream, repeats, above = table.z.astype(np.int64), np.random.default_rng(4), 400, 0
    held_out = np.arange(1, 51).reshape(5, 10)
    for _ in range(repeats):
        answers = np.where(stream.random((5, table.cells)) < 0.85, right, (right + 1) % 24)
        networks = [network(str(i), answers[i], held_out[i]) for i in range(5)]
        above += evidence_of(table, networks, asked=5, required=0.9).likely > 0.85
    assert above / repeats <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / repeats)


def test_most_of_the_networks_asked_for_must_have_found_it():
    table = square_table(12)
    right = table.z.astype(np.int64).copy()
    right[0] = 0
    memorized = right.copy()
    memorized[1:61] = (right[1:61] + 5) % 12
    networks = [network("p", right, np.arange(1, 61)), network("q", memorized, np.arange(1, 61))]
    evidence = evidence_of(table, networks, asked=2, required=0.9)
    assert (evidence.verdict, evidence.voters, evidence.right) == ("memorized", ("p",), 0)
    assert evidence_of(table, networks[:1], asked=2, required=0.9).verdict != "found", "the other one diverged"
    ignorant = network("n", (right + 1) % 12, np.arange(1, 61))
    assert evidence_of(table, [ignorant], asked=1, required=0.9).verdict == "not learned"


def test_what_a_constant_answer_does_as_well_is_not_found():
    Path("table.csv").write_text(
        HEAD + "".join(f"{x},{y},{'' if not x + y else 'no' if x * y < 160 else 'yes'}\n" for x in range(14) for y in range(14)),
        encoding="utf-8",
    )
    table = table_of(Task(operation="from_file", file="table.csv"))
    always = np.full(table.cells, table.elements.index("no"))
    held_out = np.flatnonzero(table.known & (table.z == always))[:60]
    evidence = evidence_of(table, [network("p", always, held_out)], asked=1, required=0.9)
    assert evidence.commonest == "no"
    assert evidence.likely > 0.9
    assert evidence.verdict == "undecided"
    assert not evidence.is_above_guessing


def test_suspicions_are_what_all_contradict_alike_that_were_not_shown_it():
    table = small_table([0, 1, 2, 1, 2, 0, 2, 0, -1])
    networks = [network("p", [1, 2, 2, 1, 2, 0, 2, 0, 1], [0, 1, 2]), network("q", [1, 0, 2, 1, 2, 0, 2, 0, 1], [0, 1])]
    found = suspicions(table, networks)
    assert found == [Suspicion("a", "a", "a", "b", 2)]
    assert corrected(table, found).z.tolist() == [1, 1, 2, 1, 2, 0, 2, 0, -1]
    assert "2 networks that were not shown it: b" in str(found[0])


def test_the_temperature_makes_confidence_the_share_that_is_right():
    chance = np.random.default_rng(0)
    answers = chance.integers(0, 10, 400)
    logits = 0.1 * chance.normal(size=(400, 10))
    sure = np.arange(400) < 300
    logits[sure, answers[sure]] += 1
    warmth = temperature(logits, answers)
    scaled = np.exp(logits / warmth)
    right = (logits.argmax(1) == answers).sum()
    assert (scaled.max(1) / scaled.sum(1)).mean() == pytest.approx((right + 1) / 402, abs=1e-6)
    assert temperature(7 * logits, answers) == pytest.approx(7 * warmth)
    assert temperature(logits, (logits.argmax(1) + 1) % 10) == 1e4, "never right: as even as can be"


# — what the table is —


def structure(answers):
    Path("table.csv").write_text(HEAD + "".join(f"{a},{b},{z}\n" for (a, b), z in answers.items()), encoding="utf-8")
    return structure_of(table_of(Task(operation="from_file", file="table.csv")))


def test_a_group_is_named_with_its_isomorphism():
    names = names_of(6)
    found = structure({(names[x], names[y]): names[(x + y) % 6] for x in range(6) for y in range(6)})
    assert (found.group, found.isomorphic_to, found.commutative_share, found.associative_share) == (True, "cyclic(6)", 1.0, 1.0)
    image = found.isomorphism
    assert found.neutral_element == names[0]
    assert image[names[0]] == "0"
    assert all(int(image[names[(x + y) % 6]]) == (int(image[names[x]]) + int(image[names[y]])) % 6 for x in range(6) for y in range(6))


def test_shares_are_counted_by_brute_force():
    answers = {(x, y): (x * x + 2 * y + 1) % 7 for x in range(7) for y in range(7)}
    found = structure(answers)
    pairs = [answers[x, y] == answers[y, x] for x in range(7) for y in range(7) if x != y]
    triples = [answers[answers[x, y], z] == answers[x, answers[y, z]] for x in range(7) for y in range(7) for z in range(7)]
    assert found.commutative_share == pytest.approx(np.mean(pairs))
    assert found.associative_share == pytest.approx(np.mean(triples))
    assert (found.commutative, found.associative, found.group, found.isomorphic_to) == (False, False, False, None)


def test_a_table_of_several_sets_can_be_no_group():
    found = structure({(f"r{i}", f"c{j}"): f"v{(i + j) % 3}" for i in range(3) for j in range(3)})
    assert found.latin_square
    assert (found.associative, found.group, found.inverses, found.neutral_element, found.commutative_share) == (
        None,
        None,
        None,
        None,
        None,
    )


def test_neutral_elements_and_inverses():
    number = np.arange(5)
    assert neutral_element((number[:, None] + number) % 5) == 0
    assert has_inverses((number[:, None] + number) % 5)
    assert neutral_element(np.maximum(number[:, None], number)) == 0
    assert not has_inverses(np.maximum(number[:, None], number))
    assert neutral_element((number[:, None] - number) % 5) is None, "0 is neutral on one side only"
    assert not has_inverses((number[:, None] - number) % 5)
