"""Flags without a value, given twice, unknown, or of a wrong kind: each is named, in groklab's own words, before anything is done."""

import os

import pytest

from groklab import cli
from groklab.arguments.reading import ShowArguments
from groklab.arguments.training import TrainArguments, sweep_arguments
from groklab.arguments.words import checked_words, flags_of
from groklab.config.checks import RunError

TINY = ["--operation", "addition", "--modulus", "7", "--width", "8", "--heads", "1", "--layers", "1", "--steps", "5"]


def refused(kind, *words):
    with pytest.raises(RunError) as found:
        checked_words(kind, words)
    return str(found.value)


@pytest.mark.parametrize("kind", [TrainArguments, sweep_arguments(), ShowArguments], ids=["train", "sweep", "show"])
def test_every_flag_without_a_value_is_refused(kind):
    for name, flag in flags_of(kind).items():
        if flag.values != 0:
            for words in ([name], [name, "--json"]):
                assert f"{name}: got no value; expected" in refused(kind, *words)


@pytest.mark.parametrize("verb", ["train", "sweep"])
def test_a_seed_without_its_value_trains_nothing(verb, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main([verb, *TINY, "--seed"]) == 2
    assert "--seed: got no value; expected" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_flag_of_several_values_that_is_given_twice_is_refused():
    told = refused(sweep_arguments(), "--seed", "0", "--seed", "1")
    assert "--seed: got it twice; expected it once, with all of its values behind it." in told
    assert "--measures: got it twice" in refused(TrainArguments, "--measures", "weight_norm", "--measures=spectral_norm")
    assert checked_words(TrainArguments, ["--plugin", "a.py", "--plugin", "b.py"]) == ["--plugin", "a.py", "--plugin", "b.py"]
    assert checked_words(TrainArguments, ["--steps", "5", "--steps=6"]) == ["--steps", "5", "--steps=6"]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--steps", "xx"], "--steps: got 'xx'; expected a whole number."),
        (["--steps", "1.5"], "--steps: got '1.5'; expected a whole number."),
        (["--train-fraction", "half"], "--train-fraction: got 'half'; expected a number."),
        (["--norm", "layer"], "--norm: got 'layer'; expected post or pre or none."),
        (["--betas", "0.9"], "--betas: got 1 value; expected 2 values behind it."),
        (["--json=yes"], "--json: got 'yes'; expected no value: write --json or leave it out."),
        (["--modulous", "7"], "--modulous: unknown flag. Did you mean '--modulus'"),
        (["--runs", ""], "--runs: got ''; expected the path of a file or folder."),
        (["--steps", "9" * 5000], "(5,000 characters); expected a whole number."),
        (["--operation", "a\0b"], "expected words without a zero byte"),
    ],
)
def test_a_wrong_word_is_named_with_what_was_expected(words, expected):
    assert expected in refused(TrainArguments, *words)


def test_all_wrong_flags_are_told_at_once():
    assert refused(TrainArguments, "--steps", "x", "--width", "y", "--nonsense").startswith("3 things to put right:")


def test_none_stands_for_no_words_but_in_a_sweep_for_an_alternative():
    assert checked_words(TrainArguments, ["--measures", "none", "--steps", "5"]) == ["--measures", "--steps", "5"]
    assert checked_words(TrainArguments, ["--norm", "none"]) == ["--norm", "none"]
    assert checked_words(sweep_arguments(), ["--interventions", "none"], none_is_empty=False) == ["--interventions", "none"]


def test_a_share_of_outliers_that_is_no_cell_is_refused(tmp_path, capsys):
    assert cli.main(["train", *TINY, "--outliers", "1e-9", "--runs", str(tmp_path / "runs")]) == 2
    told = capsys.readouterr().err
    assert (
        "outliers: got 1e-09; expected at least one of the 24 training cells. Choose a whole number, or a share of at least 0.042." in told
    )
    assert not list(tmp_path.iterdir())


def test_what_a_killed_lock_has_left_is_cleaned_once_it_is_old(tmp_path):
    from groklab.results.store import RunFolder

    old, new = tmp_path / ".lock.a.tmp", tmp_path / ".lock.b.tmp"
    old.touch()
    new.touch()
    os.utime(old, (0, 0))
    RunFolder(tmp_path).clean()
    assert not old.exists()
    assert new.exists()


def test_help_is_given_beside_whatever_is_wrong():
    assert checked_words(TrainArguments, ["--steps", "x", "--help"]) == ["--steps", "x", "--help"]


def test_what_the_parser_says_has_no_escape_sequences_and_is_short(capsys):
    with pytest.raises(SystemExit) if not hasattr(cli, "_done") else pytest.MonkeyPatch.context():
        cli.main(["list", "\x1b[31m" * 1000])
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert "runs" in told
    assert len(told) < 2500
