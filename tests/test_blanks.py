"""What is promised of blanks: only of those that are like known cells, and as much as comes true, whatever the pattern of blanks."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

import groklab as gl
from groklab.cli import main
from groklab.completion.blanks import blanks_of
from groklab.completion.doubts import less_sure, other_answers
from groklab.completion.randomness import departures
from groklab.completion.votes import Network, evidence_of, promise, votes
from groklab.data.contradictions import as_far_as_ruled_out, contradictions_of
from groklab.data.groups import group_named
from groklab.data.identification import structure_of
from groklab.data.table import Table


def grid(n):
    return np.indices((n, n))


def random_cells(n, share, seed):
    return np.random.default_rng([n, seed]).permutation(n * n).reshape(n, n) < round(share * n * n)


def table_with(answers, known, names=None):
    """A square table of answers by number, (n, n), with blanks where a cell is not known."""
    n = len(answers)
    x, y = (side.ravel().astype(np.int32) for side in grid(n))
    return Table(
        "from_file", "f(x, y)", names or tuple(str(i) for i in range(n)), x, y, np.where(known, answers, -1).ravel().astype(np.int32)
    )


def addition(n):
    x, y = grid(n)
    return (x + y) % n


# — where the blanks are —

N = 23
X, Y = grid(N)
SOME = random_cells(N, 0.7, 0)
PATTERNS = {
    "a row": X != 5,
    "a column": Y != 5,
    "two rows": (X != 5) & (X != 6),
    "a block": ~((X < 7) & (Y < 8)),
    "a block in the middle": ~((X > 5) & (X < 12) & (Y > 8) & (Y < 16)),
    "a triangle": X <= Y,
    "the other triangle": X > Y,
    "one of each pair": np.triu(SOME) | ~np.triu(SOME, 1).T & (X >= Y) & (X != Y) | (X == Y),
    "the diagonal": X != Y,
    "a diagonal": (X - Y) % N != 4,
    "the other diagonal": (X + Y) % N != 4,
    "a checkerboard": (X + Y) % 2 == 0,
    "odd with odd": (X % 2 == 0) | (Y % 2 == 0),
    "the second half": X * N + Y < 260,
    "ever more": random_cells(N, 1, 0) & (np.random.default_rng(2).random((N, N)) < np.linspace(0.95, 0.3, N)),
    **{f"every {k}th": (X * N + Y) % k != 0 for k in (2, 3, 4, 5, 7, 10)},
}


@pytest.mark.parametrize(
    ("pattern", "in_disorder"),
    # In disorder nothing is left of every 10th cell that chance would not make as well.
    [(pattern, in_disorder) for pattern in PATTERNS for in_disorder in (False, True) if (pattern, in_disorder) != ("every 10th", True)],
)
def test_of_blanks_in_a_pattern_nothing_is_promised(pattern, in_disorder):
    known, answers = PATTERNS[pattern], addition(N)
    if in_disorder:  # the same table under other names: the pattern is one of rows, columns, pairs or answers still
        order = np.random.default_rng(8).permutation(N)
        known, answers = known[order][:, order], np.argsort(order)[answers[order][:, order]]
    blanks = blanks_of(table_with(answers, known))
    assert not blanks.compared.size
    assert blanks.reasons
    assert all(reason.endswith(".") for reason in blanks.reasons)


def test_blanks_at_random_are_like_known_cells_nearly_always():
    lost = sum(
        not blanks_of(table_with(addition(13), random_cells(13, share, seed))).compared.size for share in (0.5, 0.8) for seed in range(30)
    )
    assert lost <= binom.ppf(0.999, 60, 0.03)


def test_rows_that_are_never_seen_are_left_out_of_a_promise_for_the_rest():
    known = SOME & (X != 5) & (Y != 9)
    known[2] = Y[2] < 3
    blanks = blanks_of(table_with(addition(N), known))
    assert [(line.place, line.element, line.known) for line in blanks.lines] == [("x", "2", 3), ("x", "5", 0), ("y", "9", 0)]
    assert set(blanks.compared) == set(np.flatnonzero(~known & (X != 5) & (Y != 9) & (X != 2)))
    told = " ".join(blanks.reasons)
    assert "No cell with x = 5 is known" in told
    assert "No cell with y = 9 is known" in told
    assert "x = 2 (3 of 23 known), far from the" in told


def test_one_side_of_the_diagonal_is_told_and_asked_about_not_concluded():
    blanks = blanks_of(table_with(addition(31), np.triu(np.ones((31, 31), dtype=bool))))
    assert any("one alone is known" in reason for reason in blanks.reasons)
    assert any("One side of the diagonal" in reason for reason in blanks.reasons)
    assert "Is the table commutative?" in blanks.question
    assert "no pair (x, y), (y, x) is known on both sides" in blanks.question
    x, y = grid(31)
    known = np.triu(np.ones((31, 31), dtype=bool)) | (x == 7)
    assert blanks_of(table_with((x - y) % 31, known)).question is None, "known pairs contradict it"


def test_answers_that_are_never_seen_are_a_reason_whatever_their_names():
    order = np.random.default_rng(3).permutation(N)
    answers = np.argsort(order)[addition(N)[order][:, order]]
    hidden = blanks_of(table_with(answers, SOME & (answers != 11)))
    assert hidden.rare == ("11",)
    assert not hidden.compared.size
    seldom = SOME & (answers != 11)
    seldom.ravel()[np.flatnonzero(answers == 11)[:3]] = True
    assert blanks_of(table_with(answers, seldom)).rare == ("11",), "a Latin square has each answer as often"
    squares = (X * X * Y * Y) % N
    table = table_with(squares, SOME)
    assert len(blanks_of(table).rare) == 11, "no known cell says whether they occur"
    assert not blanks_of(table, answers_seen=True).rare
    assert blanks_of(table, answers_seen=True).compared.size
    letters = tuple(str(i) for i in range(N)) + tuple(f"a{i}" for i in range(N))
    table = Table(
        "from_file",
        "f",
        letters,
        *(column.ravel().astype(np.int32) for column in (X, Y, np.where(SOME & (addition(N) != 4), addition(N) + N, -1))),
    )
    assert blanks_of(table).hidden == 1


def test_tables_without_a_mirror_are_looked_at_all_the_same():
    x, y = (side.ravel().astype(np.int32) for side in np.indices((12, 20)))
    known = np.random.default_rng(0).random(240) < 0.6
    table = Table("from_file", "f", tuple(map(str, range(35))), x, y + 12, np.where(known, (x + y) % 3 + 32, -1).astype(np.int32))
    assert blanks_of(table).question is None
    assert blanks_of(table).compared.size
    corner = Table("from_file", "f", table.elements, x, y + 12, np.where((x < 6) & (y < 8), -1, (x + y) % 3 + 32).astype(np.int32))
    assert not blanks_of(corner).compared.size


def test_a_departure_says_which_way_and_how_rare():
    everywhere = np.ones((N, N), dtype=bool)
    found = {way.way: way for way in departures(X <= Y, everywhere, everywhere, level=0.01)}
    assert found["mirror"].distance < 0 < found["sides"].distance
    assert found["sides"].p == pytest.approx(1 / 1000)
    assert departures(everywhere, everywhere, everywhere, level=1) == []


# — what networks say —


def voters_of(known, truth, wrong, seed, networks=5):
    """Networks that hold out a tenth of the known cells each, with mistakes as given wherever they were not shown the answer, (networks, cells)."""
    chance, table = np.random.default_rng(seed), table_with(truth, known)
    cells = np.flatnonzero(table.known)
    made = []
    for number in range(networks):
        held_out = np.sort(chance.permutation(cells)[round(0.9 * len(cells)) :])
        trained = np.setdiff1d(cells, held_out)
        answer = np.where(wrong[number], truth.ravel() + 1 + number % 2, truth.ravel()) % table.n
        answer[trained] = truth.ravel()[trained]
        made.append(Network(str(number), number, 1, answer, chance.uniform(0.5, 0.6, table.cells), trained, held_out))
    return made


def outcome(table, truth, networks, **asked):
    """The evidence, and how many of the promised blanks the voters have right together."""
    blanks = blanks_of(table)
    evidence = evidence_of(table, networks, blanks, asked=len(networks), required=0.8, **asked)
    answer = votes(table, [network for network in networks if network.id in evidence.voters] or networks).answer
    return evidence, int((answer[blanks.compared] == truth.ravel()[blanks.compared]).sum()), blanks


def mistakes(kind, cells, rate, chance):
    """Where five networks err: each by itself, all alike, or on hard cells, each with a chance of its own."""
    if kind == "each":
        return chance.random((5, cells)) < rate
    if kind == "alike":
        return np.broadcast_to(chance.random(cells) < rate, (5, cells))
    return (chance.random(cells) < 1.6 * rate) & (chance.random((5, cells)) < 0.6)


@pytest.mark.parametrize("share", [0.55, 0.9])
@pytest.mark.parametrize("kind", ["each", "alike", "hard"])
def test_what_is_promised_comes_true_in_19_of_20_tables(kind, share):
    n, repeats, broken, given = 15, 120, 0, 0
    known, truth, chance = random_cells(n, share, 1), addition(n), np.random.default_rng(4)
    table = table_with(truth, known)
    for _ in range(repeats):
        # The pattern is the same for all, and the mistakes fall anywhere: known cells and blanks are as exchangeable.
        wrong = mistakes(kind, n * n, 0.07, chance)
        evidence, right, _ = outcome(table, truth, voters_of(known, truth, wrong, chance))
        given += evidence.promised > 0
        broken += right < evidence.promised_right
    assert given > repeats / 2
    assert broken <= binom.ppf(0.999, given, 0.05)


ODD_PATTERNS = {
    "a row": (X != 5) & SOME,
    "a column": (Y != 5) & SOME,
    "rows": (X > 2) & SOME,
    "sparse rows": ((X > 2) | (Y % 5 == X)) & SOME,
    "an element": (X != 5) & (Y != 5) & SOME,
    **PATTERNS,
}


@pytest.mark.parametrize("pattern", ODD_PATTERNS)
def test_networks_that_are_right_where_held_out_and_wrong_elsewhere_break_no_promise(pattern):
    known, truth, chance = ODD_PATTERNS[pattern], addition(N), np.random.default_rng(0)
    table = table_with(truth, known)
    supported = blanks_of(table).compared
    wrong = np.zeros((5, N * N), dtype=bool)
    wrong[:, ~known.ravel()] = True
    wrong[:, supported] = mistakes("each", len(supported), 0.03, chance)
    evidence, right, blanks = outcome(table, truth, voters_of(known, truth, wrong, 0))
    assert right >= evidence.promised_right
    assert evidence.verdict == ("found" if blanks.compared.size else "withheld")
    if not blanks.compared.size:
        assert evidence.at_least is None
        assert evidence.reasons


@pytest.mark.parametrize(("held_out", "wrong", "blanks"), [(40, 0, 1), (130, 0, 212), (130, 4, 30), (60, 1, 400)])
def test_the_promise_is_exact_where_all_agree(held_out, wrong, blanks):
    """By drawing the held-out cells from all: with one more wrong blank than allowed so few wrong ones are rarer than 5 %."""
    right = promise(wrong, held_out, np.ones(blanks), 0.95)
    chance = np.random.default_rng(0)
    for more, is_rare in ((1, True), (0, False)):  # a little room for the draws
        among = wrong + blanks - right + more
        if among <= wrong + blanks:
            drawn = chance.hypergeometric(among, held_out + blanks - among, held_out, size=20_000)
            share = (drawn <= wrong).mean()
            assert share < 0.055 if is_rare else share > 0.045


def test_disagreement_on_blanks_counts_against_the_promise():
    agreed = promise(2, 100, np.ones(50), 0.95)
    doubtful = np.ones(50)
    doubtful[:4] = 0.6
    assert promise(2, 100, doubtful, 0.95) < agreed, "few networks more, and the other answer would have been taken"
    assert promise(0, 100, np.full(50, 0.6), 0.95) is None, "more mistakes than held-out cells allow"
    assert promise(0, 0, np.ones(50), 0.95) == 0


def test_several_recipes_share_the_mistakes_allowed():
    known, truth = random_cells(17, 0.7, 0), addition(17)
    networks = voters_of(known, truth, np.zeros((5, 289), dtype=bool), 0)
    one, two = (outcome(table_with(truth, known), truth, networks, recipes=recipes)[0] for recipes in (1, 2))
    assert two.promised_right < one.promised_right


def test_networks_that_are_less_sure_of_blanks_get_no_promise():
    known, truth = random_cells(17, 0.7, 0), addition(17)
    table = table_with(truth, known)
    networks = voters_of(known, truth, np.zeros((5, 289), dtype=bool), 0)
    blanks = blanks_of(table)
    assert less_sure(blanks, [network.probability for network in networks], [network.held_out for network in networks]) > 0.01
    for network in networks:
        network.probability[~table.known] -= 0.05
    evidence, _, _ = outcome(table, truth, networks)
    assert (evidence.verdict, evidence.promised) == ("withheld", 0)
    assert "less sure" in evidence.reasons[0]


def test_answers_that_blanks_have_more_often_are_noticed():
    """The blanks are the cells of some answers, in a table that is no Latin square and with names in disorder."""
    chance = np.random.default_rng(1)
    truth = chance.integers(0, 17, (17, 17))
    table = table_with(truth, chance.random((17, 17)) < np.where(truth < 3, 0.25, 0.8))
    assert other_answers(blanks_of(table), truth.ravel()) <= 0.01
    assert other_answers(blanks_of(table_with(truth, random_cells(17, 0.7, 3))), truth.ravel()) > 0.01


# — what the table is —


def test_what_known_cells_do_not_rule_out_is_open():
    n = 12
    known = random_cells(n, 0.6, 0)
    wrong = addition(n)
    wrong[~known] = (wrong[~known] + np.arange((~known).sum()) % 2) % n
    given, completed = contradictions_of(table_with(addition(n), known)), structure_of(table_with(wrong, np.ones_like(known)))
    assert (completed.commutative, completed.group, completed.latin_square, completed.associative) == (False, False, False, False)
    open_now = as_far_as_ruled_out(completed, given)
    assert (open_now.commutative, open_now.group, open_now.latin_square, open_now.associative) == (None, None, None, None)
    assert given.pairs
    assert given.triples
    assert given.is_group_possible


@pytest.mark.parametrize(
    ("answers", "commutative", "associative", "group"),
    [
        (np.asarray(group_named("dihedral(6)").table), False, None, None),
        (np.maximum(*grid(12)), None, None, False),
        ((grid(12)[0] - grid(12)[1]) % 12, False, False, False),
    ],
)
def test_what_known_cells_rule_out_is_ruled_out(answers, commutative, associative, group):
    known = random_cells(12, 0.8, 1)
    found = as_far_as_ruled_out(
        structure_of(table_with((answers + 1) % 12, np.ones_like(known))), contradictions_of(table_with(answers, known))
    )
    whole = contradictions_of(table_with(answers, known))
    assert (found.group is False) is (group is False)
    assert bool(whole.unequal) is (commutative is False)
    assert bool(whole.broken) is (associative is False)


# — the whole way, with real networks —


def written(answers, known, path="table.csv"):
    rows = [[x, y, answers[x, y] if known[x, y] else ""] for x in range(len(answers)) for y in range(len(answers))]
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["x", "y", "z"], *rows])


QUICK = ["--workers", "1", "--preset", "gromov", "--seeds", "3", "--mlp-width", "250"]


@pytest.fixture
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


@pytest.mark.medium
@pytest.mark.usefixtures("_folder")
def test_of_a_row_that_is_never_seen_nothing_is_promised(capsys):
    written(addition(N), X != 5)
    assert main(["complete", "table.csv", *QUICK]) == 1
    out, err = capsys.readouterr()
    assert "Withheld: 3 of 3 networks" in out
    assert "No cell with x = 5 is known" in out
    assert "Found" not in out
    assert "confidence" not in out
    assert "Is the table commutative?" in out
    assert "nothing will be promised" in err, "said before training"
    assert not Path("table-completed.csv").exists()
    assert main(["complete", "table.csv", *QUICK, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["verdict"], found["at_least"], found["promised"], found["output"]) == ("withheld", None, 0, None)
    assert {cell["confidence"] for cell in found["filled"]} == {None}
    assert not any(cell["supported"] for cell in found["filled"])


@pytest.mark.medium
@pytest.mark.usefixtures("_folder")
def test_one_side_of_the_diagonal_gives_no_promise_and_no_finding(capsys):
    x, y = grid(31)
    written(addition(31), x <= y)
    assert main(["complete", "table.csv", *QUICK]) == 1
    out = capsys.readouterr().out
    assert "Withheld" in out
    assert "one alone is known more often than by chance" in out
    assert "not commutative" not in out
    assert "no group" not in out
    assert "The known cells do not rule out that the table is commutative (no pair is known both ways)" in out
    assert "Is the table commutative?" in out
    assert "confidence" not in out


@pytest.mark.medium
@pytest.mark.usefixtures("_folder")
def test_blanks_without_evidence_are_left_blank_and_the_others_filled(capsys):
    known = SOME & (X != 5)
    written(addition(N), known)
    words = ["complete", "table.csv", *QUICK]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "Without evidence, and left blank; --with-guesses fills them: 23 blanks." in out
    assert "(5, 0), (5, 1)" in out
    rows = list(csv.DictReader(Path("table-completed.csv").read_text().splitlines()))
    assert {row["x"] for row in rows if not row["z"]} == {"5"}
    assert all((row["supported"], row["filled"], row["confidence"]) == ("false", "false", "") for row in rows if row["x"] == "5")
    right = sum(int(row["z"]) == (int(row["x"]) + int(row["y"])) % N for row in rows if row["filled"] == "true")
    found = gl.complete("table.csv", workers=1, presets="gromov", seeds=3, mlp_width=250)
    assert right >= found.evidence.promised_right > 0.9 * found.evidence.promised
    assert found.supported.sum() == N * N - N
    assert found.table["z"].null_count() == N
    assert found.guesses["z"].null_count() == 0
    assert main([*words, "--with-guesses", "--force"]) == 0
    rows = list(csv.DictReader(Path("table-completed.csv").read_text().splitlines()))
    assert all(row["z"] for row in rows)
    assert sum(row["supported"] == "false" for row in rows) == N


@pytest.mark.slow
@pytest.mark.usefixtures("_folder")
def test_promises_of_real_networks_come_true():
    """A small part of `python -m benchmarks.coverage`, whose whole table is in docs/completing.md."""
    from benchmarks.coverage import Case, completed

    patterns = ("30 % at random", "a row, 25 % at random", "a block", "a triangle", "the other diagonal, 25 % at random", "every 3rd")
    rows = [completed(Case(pattern, table, seed)) for pattern in patterns for table in ("x - y mod 19", "dihedral(9)") for seed in (10, 11)]
    given = [row for row in rows if row["promised"]]
    assert sum(row["right"] < row["promised_right"] for row in given) <= 1
    patterns_given = {row["pattern"] for row in given}
    assert set(patterns[:2]) <= patterns_given
    assert not patterns_given & {
        "a block",
        "a triangle",
        "every 3rd",
    }  # of the other diagonal some are promised, as docs/completing.md says
