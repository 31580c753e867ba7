"""What every registered figure must do, and what learning curves and operation tables say."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import polars as pl
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from groklab import registry
from groklab.analysis.correlations import rank_correlation
from groklab.figures import appendix, circuits, curves, embeddings, film, style, surfaces, sweeps, tables
from groklab.figures import cells as cells_module
from groklab.figures import settings as settings_module
from groklab.results.tables import arrays_table

FIGURES = {name: entry for name, entry in registry.entries("figure").items() if not entry.facts.get("animated")}


def history(
    seed: int = 0, *, last: int = 10_000, generalized: float | None = 3800.0, stopped: bool = False, **constants: str
) -> pl.DataFrame:
    """One run that memorizes at about 500 and generalizes at about 3,800, evaluated 25 times a decade."""
    random = np.random.default_rng(seed)
    steps = np.array(sorted({0, last, *(s for s in (round(10 ** (k / 25)) for k in range(200)) if s <= last)}))
    where = np.log10(np.maximum(steps, 0.5))
    late = random.normal(0, 0.1) if seed else 0.0

    def rise(step: float, width: float) -> np.ndarray:
        return 1 / (1 + np.exp(-(where - math.log10(step)) / width))

    train = 0.01 + 0.99 * rise(300, 0.05)
    rest = 0.08 * rise(500, 0.2) if generalized is None else 0.01 + 0.99 * rise(generalized / 1.75 * 10**late, 0.05)
    falling = np.zeros(len(steps)) if generalized is None else 3.4 * rise(generalized / 1.2 * 10**late, 0.1)
    table = pl.DataFrame(
        {
            "run": f"run-{seed}" + "".join(constants.values()),
            "step": steps,
            "train_accuracy": np.clip(train, 0, 1),
            "validation_accuracy": np.clip(rest, 0, 1),
            "train_loss": 4.6 * (1 - rise(280, 0.06)) + 1e-4,
            "validation_loss": 10 ** (np.log10(4.6 + 9 * rise(500, 0.15)) - falling),
        }
    )
    if stopped and generalized is not None:
        table = table.head(int(np.argmax(table["validation_accuracy"].to_numpy() >= 0.99)) + 4)
    return table.with_columns(**{name: pl.lit(value) for name, value in constants.items()})


def cells(n: int = 7, *, right: float | None = None, outliers: int = 0, unknown: int = 0, seed: int = 0) -> pl.DataFrame:
    """Division mod n, half of it for training, with answers of which a share is right."""
    random = np.random.default_rng(seed)
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(n), np.arange(1, n), indexing="ij"))
    z = x * np.array([pow(int(b), n - 2, n) for b in y]) % n
    order = random.permutation(len(z))
    split = np.full(len(z), "validation", dtype=object)
    split[order[: len(z) // 2]] = "train"
    corrupted = np.isin(np.arange(len(z)), order[:outliers])
    label = np.where(corrupted, (z + 1) % n, z)
    forgotten = order[len(z) - unknown :]
    split[forgotten], z[forgotten], label[forgotten] = "unknown", -1, -1
    table = pl.DataFrame({"x": x, "y": y, "z": z, "split": split.astype(str), "corrupted": corrupted, "label": label})
    names = [pl.col(c).cast(pl.String).alias(f"{c}_name") for c in "xy"]
    table = table.with_columns(*names, pl.when(pl.col("z") >= 0).then(pl.col("z").cast(pl.String)).alias("z_name"))
    table = table.with_columns(title=pl.lit(f"division mod {n}"), step=pl.lit(3770))
    if right is None:
        return table
    answer = np.where((split == "train") | (random.random(len(z)) < right), np.maximum(label, 0), (label + 2) % n)
    return table.with_columns(answer=pl.Series(answer), probability=pl.lit(0.8))


def runs(
    seeds: int = 3, *, fractions: Sequence[float] = (0.3, 0.5, 0.7, 0.9), budget: int = 10_000, slow: float = 1.0, **constants: Any
) -> pl.DataFrame:
    """Runs whose steps grow exponentially as their train fraction falls; width and modulus vary with it, so that any may be the axis."""
    random = np.random.default_rng(7)
    rows: list[dict[str, Any]] = []
    for number, fraction in enumerate(fractions):
        for seed in range(seeds):
            at = slow * 4000 * math.exp(-8 * (fraction - 0.5) + random.normal(0, 0.15))
            there = at < budget
            rows.append(
                {
                    "train_fraction": fraction,
                    "width": 8 * 2**number,
                    "modulus": 23 * 2**number,
                    "seed": seed,
                    "status": "complete",
                    "steps": int(at * 1.2) if there else budget,
                    "evaluated_at": int(at * 1.2) if there else budget,
                    "memorized_at": min(600 + 10 * seed, budget) or None,
                    "generalized_at": int(at) if there else None,
                    "best_validation_accuracy": 1.0 if there else fraction / 3,
                    "train_accuracy": 1.0,
                    "validation_accuracy": 1.0 if there else fraction / 4,
                    "train_loss": 1e-4,
                    "validation_loss": 1e-3 if there else 6.0,
                    "outliers": 100.0 * number,
                    "train_accuracy_clean": 1.0 if number else None,
                    "train_accuracy_corrupted": 0.9 if number else None,
                    "sharpness": 10.0 * math.exp(-3 * fraction) * (1 + 0.1 * seed),
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(**{name: pl.lit(value) for name, value in constants.items()})


def elements(n: int = 12, *, width: int = 6, frequency: int = 5, noise: float = 0.02, group: str | None = "cyclic(12)") -> pl.DataFrame:
    """Elements of a cyclic group on a circle of one frequency, in some dimensions."""
    random = np.random.default_rng(3)
    angle = 2 * np.pi * frequency * np.arange(n) / n
    plane = np.linalg.qr(random.normal(size=(width, 2)))[0]
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1) @ plane.T + noise * random.normal(size=(n, width))
    return pl.DataFrame(
        {
            "element": np.arange(n),
            "name": [str(k) for k in range(n)],
            "vector": vectors.tolist(),
            "place": np.arange(n),
            "group": pl.Series([group] * n, dtype=pl.String),
            "step": [3770] * n,
        }
    )


def arrays(n: int = 7, *, heads: int = 2, size: float = 1.0) -> pl.DataFrame:
    """Spectra, neurons and attention of a small network."""
    random = np.random.default_rng(5)
    wave = 1 + np.cos(2 * np.pi * 2 * (np.arange(n)[:, None] + np.arange(n)) / n)
    made = {
        "embedding": size * random.random(n // 2 + 1),
        "output": size * np.eye(n // 2 + 1)[1],
        "neurons": size * random.random((n // 2 + 1, 5)),
        "neuron": np.array([3, 1]),
        "activation": size * np.stack([wave, wave.T]),
        "share": np.array([0.5, 0.25]),
        "blocks.0": random.dirichlet(np.ones(4), size=(heads, n, n)).transpose(0, 3, 1, 2),
    }
    return arrays_table(made)


def bowls(*steps: int, count: int = 7, sharp: float = 40.0, floor: float = 0.01, at: tuple[float, float] = (0.0, 0.0)) -> pl.DataFrame:
    """Losses around some checkpoints: bowls that get wider, with their lowest point somewhere."""
    alpha = np.linspace(-1, 1, count)
    away = (alpha[:, None] - at[0]) ** 2 + 2 * (alpha - at[1]) ** 2
    made = []
    for number, step in enumerate(steps):
        loss = floor + sharp / (1 + number) * away
        table = arrays_table({"alpha": alpha, "beta": alpha, "train": loss, "validation": 2 * loss})
        made.append(table.with_columns(at_step=pl.lit(step), moment=pl.lit("memorized" if number == 0 else "generalized")))
    return pl.concat(made)


def measured(last: int = 10_000, **more: float) -> pl.DataFrame:
    """A history with measures at some of its steps."""
    table = history(last=last)
    falling = pl.when(pl.col("step") % 2 == 0).then(50.0 / (1 + pl.col("step") / 1000))
    return table.with_columns(
        weight_norm=falling, **{"gini.embedding": falling / 100, "gini.output": falling / 80}, **{k: pl.lit(v) for k, v in more.items()}
    )


TABLES: dict[str, dict[str, Callable[[], pl.DataFrame]]] = {
    "history": {
        "one run": history,
        "three runs": lambda: pl.concat([history(k, stopped=True) for k in range(3)]),
        "never grokked": lambda: pl.concat([history(k, generalized=None) for k in range(3)]),
        "only step 0": lambda: history().head(1),
    },
    "cells": {
        "one run": lambda: cells(right=0.6),
        "three runs": lambda: cells(right=0.6, outliers=3, unknown=3),
        "never grokked": lambda: cells(right=0.0),
        "only step 0": cells,
    },
    "runs": {
        "one run": lambda: runs(1, fractions=(0.5,)),
        "three runs": runs,
        "never grokked": lambda: runs(budget=100),
        "only step 0": lambda: runs(budget=0),
    },
    "elements": {
        "one run": elements,
        "three runs": lambda: elements(noise=0.5),
        "never grokked": lambda: elements(frequency=1, noise=3.0),
        "only step 0": lambda: elements(width=2).with_columns(step=pl.lit(0)),
    },
    "arrays": {
        "one run": arrays,
        "three runs": lambda: arrays(heads=6),
        "never grokked": lambda: arrays(n=31),
        "only step 0": lambda: arrays(size=0.0),
    },
    "checkpoints": {
        "one run": lambda: bowls(316, 4365),
        "three runs": lambda: bowls(1, 10, 100, 1000, 10_000),
        "never grokked": lambda: bowls(316, at=(0.6, -0.4)),
        "only step 0": lambda: bowls(0, sharp=0.0, floor=0.0),
    },
    "measures": {
        "one run": measured,
        "three runs": lambda: measured(restricted_loss=1e-4, excluded_loss=4.5, trig_share=0.9),
        "never grokked": lambda: measured(undefined=math.nan),
        "only step 0": lambda: measured(last=0),
    },
}
"""A figure's kind of table -> the situations that it must be able to draw. A new kind of table gets its row here."""


def fixture_of(entry: registry.Entry, situation: str) -> pl.DataFrame:
    takes = entry.facts["takes"]
    assert takes in TABLES, f"figure {entry.name!r} takes {takes!r}; give TABLES its situations"
    table = TABLES[takes][situation]()
    positive = [pl.lit(1.0 / (1 + k)).alias(c) for k, c in enumerate(entry.facts["needs"]) if c not in table.columns]
    return table.with_columns(positive)


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def said(figure: Figure) -> str:
    return " | ".join(texts(figure))


@pytest.mark.parametrize("situation", ["one run", "three runs", "never grokked", "only step 0"])
@pytest.mark.parametrize("name", FIGURES)
def test_draws_every_situation_and_neither_saves_nor_changes_settings(name: str, situation: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    table = fixture_of(FIGURES[name], situation)
    before, settings = table.clone(), dict(matplotlib.rcParams)
    drawn = FIGURES[name].function(table)
    assert isinstance(drawn, Figure)
    assert dict(matplotlib.rcParams) == settings
    assert table.equals(before)
    FigureCanvasAgg(drawn).draw()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FIGURES)
def test_declares_its_columns_and_refuses_a_table_without_one(name: str) -> None:
    entry = FIGURES[name]
    assert entry.facts["needs"]
    assert entry.facts["takes"]
    assert entry.facts["source"]
    table = fixture_of(entry, "one run")
    for column in entry.facts["needs"]:
        with pytest.raises(ValueError, match=rf"figure '{name}' needs '{column}'; this table has "):
            entry.function(table.drop(column))
    with pytest.raises(ValueError, match=rf"figure '{name}'.*without rows"):
        entry.function(table.head(0))


@pytest.mark.medium
@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
@pytest.mark.parametrize("name", FIGURES)
def test_saves_the_same_file_twice_and_leaves_nothing_beside(name: str, suffix: str, tmp_path: Path) -> None:
    first, second = (style.save(FIGURES[name].function(fixture_of(FIGURES[name], "three runs")), tmp_path / f"{k}{suffix}") for k in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert len(first.read_bytes()) > 2000
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


@pytest.mark.medium
@pytest.mark.parametrize("situation", ["one run", "three runs", "never grokked", "only step 0"])
@pytest.mark.parametrize("name", FIGURES)
def test_nothing_leaves_the_paper(name: str, situation: str) -> None:
    drawn = FIGURES[name].function(fixture_of(FIGURES[name], situation))
    box = drawn.get_tightbbox(FigureCanvasAgg(drawn).get_renderer())  # inches, all that is drawn
    width, height = drawn.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


def test_other_suffixes_and_unwritable_folders_are_refused(tmp_path: Path) -> None:
    drawn = curves.learning_curves(history())
    with pytest.raises(ValueError, match=r"got '.*a\.gif'; expected a name that ends in \.png, \.svg, \.pdf"):
        style.save(drawn, tmp_path / "a.gif")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(OSError, match="cannot write there"):
        style.save(drawn, tmp_path / "file" / "a.png")
    assert style.save(drawn, tmp_path / "new" / "a.PNG").is_file()


def test_a_failed_save_keeps_the_file_that_was_there(tmp_path: Path, monkeypatch: Any) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"before")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    drawn = curves.learning_curves(history())
    monkeypatch.setattr(drawn, "savefig", full)
    with pytest.raises(OSError, match="No space left on device"):
        style.save(drawn, target)
    assert target.read_bytes() == b"before"
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.medium
def test_figures_need_neither_torch_nor_pyplot() -> None:
    code = "import sys, json; from groklab import registry; registry.entries('figure'); print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8").stdout)
    assert "torch" not in loaded
    assert "matplotlib.pyplot" not in loaded


# — learning curves —


def first_step(table: pl.DataFrame, column: str) -> int:
    return int(table.filter(pl.col(column) >= 0.99)["step"][0])


def test_one_run_says_when_it_memorized_and_generalized_and_how_much_later() -> None:
    table = history()
    memorized, generalized = first_step(table, "train_accuracy"), first_step(table, "validation_accuracy")
    text = said(curves.learning_curves(table))
    assert f"memorized at {memorized:,}" in text
    assert f"generalized at {generalized:,}" in text
    assert f"{generalized / memorized:.1f}×" in text


def test_the_threshold_moves_the_moments() -> None:
    table = history()
    assert "generalized at" in said(curves.learning_curves(table, threshold=0.5))
    assert said(curves.learning_curves(table, threshold=0.5)) != said(curves.learning_curves(table))
    half = table.filter(pl.col("validation_accuracy") < 0.55)  # ends below the height at which the delay is written
    assert "×" in said(curves.learning_curves(half, threshold=0.3))
    with pytest.raises(ValueError, match=r"threshold=1\.5; expected an accuracy"):
        curves.learning_curves(table, threshold=1.5)


def test_a_run_that_never_grokked_says_so() -> None:
    text = said(curves.learning_curves(history(generalized=None)))
    assert "not generalized within 10,000 steps" in text
    assert "×" not in text


def test_seeds_give_medians_with_their_count() -> None:
    runs = [history(k, stopped=True) for k in range(7)]
    steps = [first_step(run, "validation_accuracy") for run in runs]
    text = said(curves.learning_curves(pl.concat([*runs, history(9, generalized=None)])))
    median = sorted(steps)[3]  # of eight the fourth: the lower of the two in the middle
    assert f"generalized at {median:,.0f} (median; 7 of 8 runs)" in text
    assert "band: 10–90 %" in text


def test_no_median_where_more_than_half_are_censored() -> None:
    def groups(reached):
        return pl.concat(
            [*(history(k, group="decay 0") for k in range(reached))]
            + [history(k, generalized=None, group="decay 0") for k in range(5, 9 - reached)]
        )

    assert "generalized: 1 of 4 seeds within 10,000 steps" in said(curves.learning_curves(groups(1)))
    halves = groups(2)
    later = max(first_step(run, "validation_accuracy") for run in (history(0), history(1)))
    assert f"generalized at {later:,.0f} (median; 2 of 4 seeds)" in said(curves.learning_curves(halves))


def test_a_run_that_ended_early_is_censored_where_it_ended() -> None:
    """As in the table: of three runs one is known to take more than 1,000 steps only."""
    table = pl.concat([history(0), history(1), history(2, last=1000)])
    steps = sorted(first_step(run, "validation_accuracy") for run in (history(0), history(1)))
    assert f"generalized at {steps[0]:,.0f} (median; 2 of 3 runs)" in said(curves.learning_curves(table))


def test_runs_stopped_early_keep_their_last_value() -> None:
    early = {"step": np.array([0.0, 1.0, 2.0]), "a": np.array([0.0, 0.5, 1.0])}
    late = {"step": np.array([0.0, 1.0, 2.0, 3.0, 5.0]), "a": np.zeros(5)}
    sparse = {"step": np.array([0.0, 2.0, 5.0]), "a": np.full(3, 7.0)}
    steps, values = curves.on_common_steps([early, late], "a")
    assert steps.tolist() == [0, 1, 2, 3, 5]
    assert values.tolist() == [[0, 0.5, 1, 1, 1], [0, 0, 0, 0, 0]]
    assert curves.on_common_steps([early, late, sparse], "a")[0].tolist() == [0, 2, 5]


def test_groups_are_listed_with_their_moments() -> None:
    table = pl.concat(
        [*(history(k, group="decay 1") for k in range(3)), *(history(k, generalized=None, group="decay 0") for k in range(3))]
    )
    text = said(curves.learning_curves(table))
    assert "decay 1" in text
    assert "(3 of 3)" in text
    assert "0 of 3 in 10,000" in text
    with pytest.raises(ValueError, match="got 9 groups; expected at most 8"):
        curves.learning_curves(pl.concat([history(group=f"setting {k}") for k in range(9)]))


def test_validation_may_be_absent_and_losses_may_be_zero_or_not_a_number() -> None:
    nothing = pl.lit(None, dtype=pl.Float64)
    absent = history().with_columns(validation_accuracy=nothing, validation_loss=nothing)
    assert "no validation cells" in said(curves.learning_curves(absent))
    strange = history().with_columns(train_loss=pl.when(pl.col("step") > 100).then(0.0).otherwise(math.nan), validation_loss=math.inf)
    FigureCanvasAgg(curves.learning_curves(pl.concat([strange, strange.with_columns(run=pl.lit("b"))]))).draw()


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    table = history(title="division mod 97")
    straight = style.save(curves.learning_curves(table), tmp_path / "a.svg")
    shuffled = style.save(curves.learning_curves(table.sample(fraction=1, shuffle=True, seed=1)), tmp_path / "b.svg")
    assert straight.read_bytes() == shuffled.read_bytes()


@pytest.mark.parametrize("last", [0, 1, 5, 40, 999, 1000, 10**6])
def test_the_step_axis_has_a_place_for_step_zero(last: int) -> None:
    axes = Figure().add_subplot()
    style.set_step_axis(axes, last)
    places = axes.xaxis.get_transform().transform(np.array([0.0, 1.0, max(last, 2)]))
    assert np.isfinite(places).all()
    assert 0 in axes.get_xticks()
    assert all(0 <= tick <= max(last, 1) for tick in axes.get_xticks())
    axes.figure.draw_without_rendering()
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[-1] == {999: "100", 1000: "1,000", 10**6: "10⁶"}.get(last, labels[-1])


# — operation tables —


def panel_pixels(drawn: Figure, number: int, path: Path) -> np.ndarray:
    """The saved pixels of a panel."""
    style.save(drawn, path)
    pixels = np.asarray(matplotlib.image.imread(path))[:, :, :3]
    box = drawn.axes[number].get_position()
    height, width = pixels.shape[:2]
    return pixels[round((1 - box.y1) * height) : round((1 - box.y0) * height), round(box.x0 * width) : round(box.x1 * width)]


@pytest.mark.parametrize("n", [47, 97, 113])
def test_every_cell_is_the_same_square_of_whole_pixels(n: int, tmp_path: Path) -> None:
    table = cells(n, right=0.5)
    drawn = tables.operation_table(table)
    pixels = panel_pixels(drawn, 0, tmp_path / "a.png")
    side = pixels.shape[0] // n
    assert pixels.shape[:2] == (side * n, side * n)
    blocks = pixels.reshape(n, side, n, side, 3)[2:-2, :, 2:-2]  # the frame covers half of the outermost pixel
    assert (blocks == blocks[:, :1, :, :1]).all()
    read = cells_module.read(table)
    wanted = cells_module.colors_of(read, read.answer).reshape(n, n - 1, 3)[2:-2, 1:-2]
    assert np.abs(blocks[:, 0, :, 0] - wanted).max() < 1 / 128


def test_the_verdict_counts_validation_cells_only() -> None:
    table = cells(11, right=0.5, outliers=4)
    asked = table.filter(pl.col("split") == "validation")
    share = float((asked["answer"] == asked["z"]).mean())
    text = said(tables.operation_table(table))
    assert f"validation: {100 * share:.1f} % right" in text
    assert "train, on a wrong label: 4" in text
    assert "answered as labeled: 4, truly: 0" in text
    assert "not in the table" in text
    assert "answers at step 3,770" in text


@pytest.mark.parametrize(("threshold", "told"), [(None, "95.0 %"), (0.95, "94.96 %"), (0.999, "95.0 %")])
def test_the_verdict_is_rounded_by_the_threshold_of_the_run(threshold: float | None, told: str) -> None:
    """Of 1,250 validation cells 1,187 are right: 0.9496."""
    table = cells(71, right=1.0)
    validation = table.with_row_index().filter(pl.col("split") == "validation")["index"][:1250]
    wrong = validation[1187:]
    asked = pl.int_range(pl.len()).is_in(validation.implode())
    table = table.with_columns(
        split=pl.when(pl.col("split") == "validation")
        .then(pl.when(asked).then(pl.lit("validation")).otherwise(pl.lit("train")))
        .otherwise("split"),
        answer=pl.when(pl.int_range(pl.len()).is_in(wrong.implode())).then((pl.col("z") + 1) % 71).otherwise("answer"),
    )
    if threshold is not None:
        table = table.with_columns(threshold=pl.lit(threshold))
    assert f"validation: {told} right" in said(tables.operation_table(table))


def test_names_are_written_into_small_tables_only() -> None:
    def inside(n: int, **settings: int) -> int:
        return len(tables.operation_table(cells(n, right=1.0), **settings).axes[0].texts) - 1  # the x of the corner

    assert inside(7) == 42
    assert inside(13) == 0
    assert inside(13, names_up_to=13) == 156


def test_a_missing_row_is_a_gap_where_both_sides_share_their_elements() -> None:
    read = cells_module.read(cells(7))
    assert read.shape == (7, 7)
    assert read.columns.min() == 1


def test_tables_need_not_be_square_nor_their_names_short() -> None:
    table = (
        cells(7, right=0.5)
        .filter(pl.col("x") < 3)
        .with_columns(pl.col("y") + 100, y_name="a name far too long for a tick " + pl.col("y_name"))
    )
    assert cells_module.read(table).shape == (3, 6)
    for turned in (table, table.rename({"x": "y", "y": "x", "x_name": "y_name", "y_name": "x_name"})):
        drawn = tables.operation_table(turned)
        FigureCanvasAgg(drawn).draw()
        assert max(len(label.get_text()) for axes in drawn.axes for label in (*axes.get_xticklabels(), *axes.get_yticklabels())) <= 12


def test_cells_of_several_steps_and_unknown_splits_are_refused() -> None:
    with pytest.raises(ValueError, match="42 cells occur more than once"):
        tables.operation_table(pl.concat([cells(7), cells(7)]))
    with pytest.raises(ValueError, match="got split 'test'; expected train, validation, unknown"):
        tables.operation_table(cells(7).with_columns(split=pl.lit("test")))


def test_a_table_may_have_one_cell_or_nothing_but_training_cells() -> None:
    FigureCanvasAgg(tables.operation_table(cells(7).head(1))).draw()
    assert "no validation cells" in said(tables.operation_table(cells(7, right=1.0).with_columns(split=pl.lit("train"))))


# — runs against a field —


def named(**settings: float) -> pl.DataFrame:
    """Several settings, each so many times as slow."""
    return pl.concat([runs(slow=slow, setting=name.replace("_", " ")) for name, slow in settings.items()])


def test_steps_against_draws_censored_runs_apart_and_medians_with_gaps() -> None:
    drawn = sweeps.steps_against(runs(slow=1.5))
    axes = drawn.axes[0]
    triangles = [line for line in axes.lines if line.get_marker() == "^" and len(line.get_xdata())]  # pyright: ignore[reportArgumentType]
    assert [list(line.get_xydata()[:, 0]) for line in triangles] == [[0.3] * 3]  # pyright: ignore[reportIndexIssue, reportOptionalSubscript]
    assert all(y == 10_000 for line in triangles for y in line.get_ydata())  # pyright: ignore[reportGeneralTypeIssues]
    medians = next(line for line in axes.lines if line.get_color() == style.VALIDATION and line.get_linestyle() == "-")
    assert np.isnan(medians.get_ydata()[0])  # pyright: ignore[reportIndexIssue]
    assert np.isfinite(medians.get_ydata()[1:]).all()  # pyright: ignore[reportIndexIssue]
    assert "not within the budget" in said(drawn)
    assert "3" in texts(drawn), "how many runs are behind one triangle"


def test_a_median_needs_half_of_the_runs_and_one_place_is_the_only_tick() -> None:
    of_one = runs(5, fractions=(0.5, 0.9)).with_columns(
        generalized_at=pl.when((pl.col("train_fraction") == 0.5) & (pl.col("seed") > 0)).then(None).otherwise(pl.lit(9000)),
        steps=pl.when((pl.col("train_fraction") == 0.5) & (pl.col("seed") > 0)).then(6000).otherwise(pl.lit(10_000)),
    )
    if "evaluated_at" in of_one.columns:
        of_one = of_one.with_columns(evaluated_at="steps")
    axes = sweeps.steps_against(of_one).axes[0]
    medians = next(line for line in axes.lines if line.get_color() == style.VALIDATION and line.get_linestyle() == "-")
    assert np.isnan(medians.get_ydata()[0]), "one of five, watched longest"  # pyright: ignore[reportIndexIssue]
    assert list(sweeps.steps_against(runs(fractions=(0.5,)), x="modulus").axes[0].get_xticks()) == [23]


def test_curves_by_setting_wrap_and_say_what_loss_and_threshold_are() -> None:
    table = pl.concat([history(seed).with_columns(group=pl.lit(f"setting {seed}"), run=pl.lit(f"r{seed}")) for seed in range(4)])
    drawn = settings_module.curves_by_setting(table, threshold=0.95, loss_name="squared error")
    assert drawn.get_size_inches()[0] < 7.5
    assert "generalized at 95 %" in said(drawn)
    assert [axes.get_ylabel() for axes in drawn.axes] == ["accuracy", "squared error", "", ""] * 2
    box = drawn.get_tightbbox(FigureCanvasAgg(drawn).get_renderer())
    assert min(box.x0, box.y0, *(drawn.get_size_inches() - (box.x1, box.y1))) >= 0


def test_steps_against_tells_the_law_that_was_planted() -> None:
    told = said(sweeps.steps_against(runs(8, budget=10**9)))
    percent = float(re.search(r"exponential law, \+([\d.]+) %", told).group(1))  # pyright: ignore[reportOptionalMemberAccess]
    assert percent == pytest.approx(100 * (math.exp(0.08) - 1), abs=0.5)
    assert "exponential" not in said(sweeps.steps_against(runs(8), x="modulus"))


def test_settings_share_a_panel_while_they_are_few_and_have_their_own_when_many() -> None:
    few, many = named(a=1, b=2, c=4), named(**{f"setting_{k}": 1 + k / 4 for k in range(12)})
    assert len(sweeps.accuracy_against(few).axes) == 1
    drawn = sweeps.accuracy_against(many)
    assert [axes.get_title() for axes in drawn.axes] == [f"setting {k}" for k in range(12)]
    assert all(name in said(sweeps.steps_against(few)) for name in ("a", "b", "c", "memorized", "generalized"))
    with pytest.raises(ValueError, match="got 12 settings; expected at most 8"):
        sweeps.steps_against(many)
    with pytest.raises(ValueError, match="got 3 settings; expected at most 1"):
        sweeps.losses_against(few)


def test_open_dots_are_runs_below_the_threshold() -> None:
    axes = sweeps.accuracy_against(runs(slow=1.5)).axes[0]
    by_face = {line.get_markerfacecolor() == "white": line for line in axes.lines if line.get_marker() == "o"}
    assert sorted(set(by_face[True].get_xdata())) == [0.3]  # pyright: ignore[reportArgumentType]
    assert sorted(set(by_face[False].get_xdata())) == [0.5, 0.7, 0.9]  # pyright: ignore[reportArgumentType]


def test_an_axis_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one of numbers"):
        sweeps.steps_against(runs(), x="status")


@pytest.mark.medium
@pytest.mark.parametrize("count", [2, 5, 8, 9, 12, 24])
def test_many_settings_stay_on_the_paper(count: int) -> None:
    table = named(**{f"a_rather_long_name_of_setting_{k}": 1 + k / 4 for k in range(count)})
    for draw in [sweeps.accuracy_against, *([sweeps.steps_against] if count <= 8 else [])]:
        drawn = draw(table)
        box, size = drawn.get_tightbbox(FigureCanvasAgg(drawn).get_renderer()), drawn.get_size_inches()
        assert min(box.x0, box.y0, size[0] - box.x1, size[1] - box.y1) >= 0


# — what a network learned —


def test_the_number_line_is_the_one_that_was_planted() -> None:
    told = said(embeddings.number_line(elements(n=31, frequency=12, group=None), method="pca", permutations=99))
    assert "adding 13: score in this picture" in told  # 13 · 12 = 1 mod 31
    assert "residue mod 13" in told
    assert "adding 4: score in this picture 0." in said(
        embeddings.number_line(elements(n=31, group=None), method="pca", k=4, permutations=99)
    )
    with pytest.raises(ValueError, match="expected a step from 1 to 15"):
        embeddings.number_line(elements(n=31), k=16, permutations=99)
    with pytest.raises(ValueError, match="expected tsne, pca, scaling"):
        embeddings.number_line(elements(n=31), method="umap", permutations=99)
    with pytest.raises(ValueError, match="draw cosets"):
        embeddings.number_line(elements().with_columns(place=pl.lit(None, dtype=pl.Int64)))


def test_cosets_names_the_subgroup_that_explains_the_clusters() -> None:
    drawn = embeddings.cosets(elements(frequency=4), method="scaling")  # three points: the cosets of the subgroup of order 4
    assert "order 4, 3 cosets" in said(drawn)
    assert "p = 0.0005" in said(drawn)
    points = drawn.axes[0].collections[0]
    colors = [tuple(color) for color in points.get_facecolors()]  # pyright: ignore[reportAttributeAccessIssue]
    assert [colors.index(color) for color in colors] == [0, 1, 2] * 4


def test_cosets_of_a_modular_table_are_those_of_the_cyclic_group_behind_it_and_a_prime_order_has_none() -> None:
    modular, group = elements(frequency=4, group=None), elements(frequency=4)
    assert said(embeddings.cosets(modular, method="scaling")) == said(embeddings.cosets(group, method="scaling"))  # addition mod 12
    with pytest.raises(ValueError, match=r"cyclic\(13\).*number_line"):
        embeddings.cosets(elements(n=13, group=None))
    with pytest.raises(ValueError, match="no group is known"):
        embeddings.cosets(elements(group=None).with_columns(place=pl.lit(None, dtype=pl.Int64)))


def test_embeddings_color_by_the_circle_that_is_there() -> None:
    assert "circle of frequency 5" in said(embeddings.embeddings(elements(n=13, frequency=5)))
    group = elements(n=6).with_columns(place=pl.lit(None, dtype=pl.Int64), group=pl.lit("symmetric(3)"))
    assert "order of the element (1, 2, 3)" in said(embeddings.embeddings(group))


def test_spectra_name_what_stands_out() -> None:
    table = arrays_table({"output": np.eye(24)[7] + 0.001, "embedding": np.ones(24)})
    drawn = circuits.spectra(table)
    assert [text.get_text() for text in drawn.axes[0].texts] == ["7"]
    assert [text.get_text() for text in drawn.axes[1].texts] == []
    with pytest.raises(ValueError, match="expected spectra"):
        circuits.spectra(arrays_table({"share": np.ones(3)}))


def test_attention_shows_the_first_element_of_every_head() -> None:
    patterns = np.random.default_rng(0).random((3, 5, 7, 7))  # begin a ∘ b =
    drawn = circuits.attention(arrays_table({"blocks.1": patterns}))
    assert [axes.get_title() for axes in drawn.axes] == [f"layer 1, head {head}" for head in range(3)]
    assert all(np.array_equal(axes.images[0].get_array(), patterns[head, 1]) for head, axes in enumerate(drawn.axes))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"expected patterns blocks\.0"):
        circuits.attention(arrays_table({"neuron": np.ones(3)}))


def test_measures_have_a_panel_each_and_their_parts_share_one() -> None:
    drawn = circuits.measures(measured())
    assert [axes.get_title(loc="left") for axes in drawn.axes] == ["accuracy", "weight norm", "gini"]
    assert [axes.get_title(loc="left") for axes in circuits.measures(measured(), names=("gini",)).axes] == ["accuracy", "gini"]
    with pytest.raises(ValueError, match="got 'ginni'; expected one of weight_norm, gini"):
        circuits.measures(measured(), names=("ginni",))
    with pytest.raises(ValueError, match="at most 8"):
        circuits.measures(measured(**{f"m{k}": 1.0 for k in range(7)}))
    with pytest.raises(ValueError, match="no column of a measure"):
        circuits.measures(history())


# — the loss around a network —


def test_every_checkpoint_has_a_panel_and_all_share_one_scale() -> None:
    drawn = surfaces.loss_surface(bowls(316, 4365))
    panels = drawn.axes[:2]
    assert [axes.get_title(loc="left") for axes in panels] == ["step 316, memorized", "step 4,365, generalized"]
    assert "loss 0.01" in texts(drawn)
    scales = {(filled.norm.vmin, filled.norm.vmax) for axes in panels for filled in axes.collections[:1]}
    assert scales == {(0.01, 0.01 + 40 * 3)}
    assert drawn.axes[2].get_ylabel() == "train loss (nats)"
    other = surfaces.loss_surface(bowls(316), side="validation")
    assert "loss 0.02" in texts(other)
    assert other.axes[1].get_ylabel() == "validation loss (nats)"


def test_alpha_runs_to_the_right_and_the_lowest_point_is_marked() -> None:
    drawn = surfaces.loss_surface(bowls(100, at=(2 / 3, -1 / 3)))
    marks = {line.get_marker(): line.get_xydata()[0].tolist() for line in drawn.axes[0].lines}  # pyright: ignore[reportIndexIssue]
    assert marks == {"o": [0, 0], "X": pytest.approx([2 / 3, -1 / 3])}
    assert "cross: the lowest point" in said(drawn).replace("\n", " ")
    assert [line.get_marker() for line in surfaces.loss_surface(bowls(100)).axes[0].lines] == ["o"]


def test_losses_that_are_not_finite_or_zero_or_missing() -> None:
    table = bowls(100)
    values = np.array(table["values"][2].to_list())
    for hole in (math.nan, math.inf, 0.0):
        holed = table.with_columns(values=pl.Series([*table["values"].to_list()[:2], [hole, *values[1:]], values.tolist()]))
        FigureCanvasAgg(surfaces.loss_surface(holed)).draw()
    nothing = table.with_columns(values=pl.Series([*table["values"].to_list()[:2], [math.nan] * 49, values.tolist()]))
    with pytest.raises(ValueError, match="no finite train loss at step 100"):
        surfaces.loss_surface(nothing)
    with pytest.raises(ValueError, match="expected also beta, train"):
        surfaces.loss_surface(table.filter(~pl.col("name").is_in(["beta", "train"])))
    with pytest.raises(ValueError, match="side: got 'test'; expected train or validation"):
        surfaces.loss_surface(table, side="test")
    with pytest.raises(ValueError, match="got 7 checkpoints; expected at most 6"):
        surfaces.loss_surface(bowls(*range(7)))


# — film —


def test_a_film_has_a_frame_for_every_checkpoint_and_one_point_of_view(tmp_path: Path) -> None:
    seen = [cells(right=share).with_columns(step=pl.lit(step)) for share, step in ((0.0, 0), (0.5, 100), (1.0, 3770))]
    places = [elements(n=7, frequency=2, noise=noise) for noise in (3.0, 1.0, 0.01)]
    frames = list(film.film(history(title="x / y"), seen, places))
    assert [frame.axes[0].get_title(loc="left").split(":")[0] for frame in frames] == ["step 0", "step 100", "step 3,770"]
    assert "100.0 % of the hidden cells right" in said(frames[-1])
    assert "circle of frequency 2" in said(frames[0])
    last = frames[-1].axes[1].collections[0].get_offsets()
    radii = np.linalg.norm(np.asarray(last), axis=1)
    assert radii.std() < 0.1 * radii.mean(), "the planted circle, seen from above"
    assert len(frames[0].axes[2].lines[0].get_xdata()) == 1  # pyright: ignore[reportArgumentType]
    written = style.save_film(frames, tmp_path / "a.gif")
    again = style.save_film(frames, tmp_path / "b.gif")
    assert written.read_bytes() == again.read_bytes()
    from PIL import Image

    with Image.open(written) as picture:
        assert getattr(picture, "n_frames") == 3  # noqa: B009
    with pytest.raises(ValueError, match=r"ends in \.gif"):
        style.save_film(frames, tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="got no frames"):
        style.save_film([], tmp_path / "c.gif")
    with pytest.raises(ValueError, match="one of each for every checkpoint"):
        list(film.film(history(), seen, places[:2]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gif", "b.gif"]


# — the appendix —


def test_outliers_are_told_apart_and_none_of_them_means_all_are_clean() -> None:
    axes = appendix.outliers(runs()).axes[0]
    lines = {line.get_color(): line.get_xydata() for line in axes.lines if line.get_marker() in ("", "None")}
    assert [len(lines[color]) for color in (style.VALIDATION, style.TRAIN, style.GROUPS[4])] == [4, 4, 3]  # pyright: ignore[reportArgumentType]
    assert style.GROUPS[2] not in lines, "what no run tells is not drawn"
    assert appendix.outliers(runs().with_columns(outliers=pl.lit("0"))).axes
    with pytest.raises(ValueError, match="no run with a number of outliers"):
        appendix.outliers(runs().with_columns(outliers=pl.lit(None, dtype=pl.Float64)))


def test_sharpness_tells_the_rank_correlation_with_its_interval() -> None:
    random = np.random.default_rng(1)
    sharp = random.lognormal(size=40)
    table = pl.DataFrame(
        {"sharpness": sharp, "validation_accuracy": np.exp(-sharp) + random.normal(0, 0.02, 40), "setting": ["a", "b"] * 20}
    )
    rho, low, high = rank_correlation(sharp, table["validation_accuracy"].to_numpy())  # pyright: ignore[reportGeneralTypeIssues]
    from scipy.stats import spearmanr

    assert rho == pytest.approx(spearmanr(sharp, table["validation_accuracy"])[0])
    assert -1 <= low < rho < high < -0.8
    told = said(appendix.sharpness(table))
    assert f"40 runs; rank correlation {rho:+.2f} (90 %: {low:+.2f} to {high:+.2f})".replace("-", "−") in told
    assert "a" in texts(appendix.sharpness(table))
    assert rank_correlation(np.ones(9), np.arange(9.0)) is None
    assert "too few" in said(appendix.sharpness(table.head(4)))
    some = table.with_columns(sharpness=pl.when(pl.int_range(40) >= 3).then("sharpness"))
    assert "37 runs; rank" in said(appendix.sharpness(some)).replace("\n", " ")
    assert "; 3 more left out, whose sharpness is unknown" in said(appendix.sharpness(some)).replace("\n", " ")
    with pytest.raises(ValueError, match="of 40 runs none has a sharpness"):
        appendix.sharpness(table.with_columns(sharpness=pl.lit(None, dtype=pl.Float64)))
