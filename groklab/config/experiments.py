"""Named experiments: the runs behind a published figure, at three scales.

    smoke     seconds: tiny tables and networks that go through all the code; nothing is to be learned from them
    laptop    hours on two cores: the published task and network, with fewer fractions and seeds and a smaller budget
    paper     the full grid, for a cluster or a GPU

``groklab replicate NAME --scale SCALE`` trains what is missing and draws the figure. Costs are upper bounds, as if no run ended before
its budget: hours of one core at the 13 ms a step that the paper's network takes on the machine of docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

from groklab.config.run import Run
from groklab.config.sweep import sweep_of
from groklab.registry import experiment, look_up

Scale = Literal["smoke", "laptop", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)

Settings = dict[str, list[Run]]
"""The name of a setting, as figures and tables show it, and its runs."""

OPERATIONS: dict[str, str] = {
    "x + y": "addition",
    "x − y": "subtraction",
    "x / y": "division",
    "x / y if y is odd, else x − y": "division_or_subtraction",
    "x² + y²": "sum_of_squares",
    "x² + xy + y²": "quadratic_form",
    "x² + xy + y² + x": "quadratic_form_plus_x",
    "x³ + xy": "cubic_xy",
    "x³ + xy² + y": "cubic_xyy_plus_y",
    "x · y in S₅": "s5_product",
    "x · y · x⁻¹ in S₅": "s5_conjugation",
    "x · y · x in S₅": "s5_sandwich",
}
"""The twelve tables of the paper, as its Figure 2 (right) writes them."""

METHODS: dict[str, dict[str, Any]] = {
    "AdamW, decay 1": {"optimizer": "adamw", "weight_decay": 1.0},
    "AdamW, decay 1 to initial": {"optimizer": "adam", "interventions": ("decay_towards_initial(strength=1.0)",)},
    "Adam": {"optimizer": "adam"},
    "Adam, rate 3·10⁻⁴": {"optimizer": "adam", "learning_rate": 3e-4},
    "Adam, rate 3·10⁻³": {"optimizer": "adam", "learning_rate": 3e-3},
    "Adam, weight noise": {"optimizer": "adam", "interventions": ("weight_noise(std=0.01)",)},
    "Adam, dropout 0.1": {"optimizer": "adam", "interventions": ("residual_dropout(rate=0.1)",)},
    "Adam, full batch": {"optimizer": "adam", "batch_size": "full"},
    "Adam, full batch, noise": {"optimizer": "adam", "batch_size": "full", "interventions": ("update_noise(std=1.0)",)},
}
"""The nine ways of optimizing of the paper's Figure 2 (left)."""

COSTLY = ("Adam, dropout 0.1", "Adam, full batch", "Adam, full batch, noise")
"""Those of them whose steps take 5 to 25 times as long."""

_TINY: dict[str, Any] = {"layers": 1, "width": 32, "heads": 2, "learning_rate": 0.003}


@experiment(figure="steps_against", source="Power et al. 2022, Figure 1 center")
def figure1_center(scale: Scale) -> Settings:
    """Steps until the product in S₅ is memorized and generalized, against the share of the table shown (Power et al. 2022, Figure 1 center).

    ``groklab replicate figure1_center --scale laptop``. The paper: memorizing takes 10³ to 10⁴ steps at every fraction, fewer with less
    data; generalizing takes 40 to 50 % more steps for every percent of data less near 25 to 30 %. Cost: laptop at most 4 core hours
    (21 runs of at most 5·10⁴ steps), paper at most 250 (14 fractions, 5 seeds, 10⁶ steps).
    """
    if scale == "smoke":
        return {"product in S₃": _runs(operation="group_product", group="symmetric(3)", train_fraction=(0.7, 0.8), steps=200, **_TINY)}
    if scale == "laptop":
        fractions, seeds, steps = (0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8), 3, 50_000
    else:
        fractions, seeds, steps = (*(0.25, 0.26, 0.27, 0.28, 0.29, 0.3), *(0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)), 5, 1_000_000
    return {"x · y in S₅": _runs(operation="s5_product", train_fraction=fractions, seeds=seeds, steps=steps)}


@experiment(figure="accuracy_against", source="Power et al. 2022, Figure 2 left")
def figure2_left(scale: Scale) -> Settings:
    """Best validation accuracy of nine ways of optimizing the product in S₅, against the share of the table shown (Power et al. 2022, Figure 2 left).

    ``groklab replicate figure2_left --scale laptop``. The paper: weight decay more than halves the data that is needed, decay towards the
    initial weights helps less, some noise helps, the learning rate must lie within about a factor of ten. Cost: laptop at most 10
    core hours (five fractions, three seeds, 2·10⁴ steps; the three costly ways at one fraction and seed), paper at most 900
    (19 fractions, three seeds, 10⁵ steps; full batches are two thirds of it).
    """
    if scale == "smoke":
        tiny = {"operation": "group_product", "group": "symmetric(3)", "layers": 1, "width": 32, "heads": 2, "steps": 60}
        return {name: _runs(**tiny, train_fraction=(0.6, 0.8), seeds=1, **fields) for name, fields in METHODS.items()}
    task = {"operation": "s5_product"}
    if scale == "paper":
        fractions = tuple(round(0.05 * k, 2) for k in range(1, 20))
        return {name: _runs(**task, train_fraction=fractions, seeds=3, steps=100_000, **fields) for name, fields in METHODS.items()}
    found: Settings = {}
    for name, fields in METHODS.items():
        fractions, seeds = ((0.7,), 1) if name in COSTLY else ((0.5, 0.6, 0.7, 0.8, 0.9), 3)
        found[name] = _runs(**task, train_fraction=fractions, seeds=seeds, steps=20_000, **fields)
    return found


@experiment(figure="accuracy_against", source="Power et al. 2022, Figure 2 right")
def figure2_right(scale: Scale) -> Settings:
    """Best validation accuracy on the paper's twelve operations, against the share of the table shown (Power et al. 2022, Figure 2 right).

    ``groklab replicate figure2_right --scale laptop``. The paper, within 10⁵ steps: symmetric operations need less data than their
    asymmetric counterparts, x − y and x / y about the same, x³ + xy² + y is not learned at any fraction up to 95 %. Cost: laptop at most 8
    core hours (six fractions, three seeds, 10⁴ steps), paper at most 250 (19 fractions, three seeds, 10⁵ steps).
    """
    if scale == "smoke":
        return {
            label: _runs(
                operation=name, modulus=None if name.startswith("s5") else 7, train_fraction=(0.5, 0.8), seeds=1, steps=40, **_TINY
            )
            for label, name in OPERATIONS.items()
        }
    fractions = (0.3, 0.35, 0.4, 0.5, 0.7, 0.9) if scale == "laptop" else tuple(round(0.05 * k, 2) for k in range(1, 20))
    steps = 10_000 if scale == "laptop" else 100_000
    return {label: _runs(operation=name, train_fraction=fractions, seeds=3, steps=steps) for label, name in OPERATIONS.items()}


@experiment(figure="steps_against(x='modulus')", source="the question of larger tables, raised about Power et al. 2022")
def modulus_sweep(scale: Scale) -> Settings:
    """Steps until addition is memorized and generalized, half of the table shown, against the modulus, to see whether larger tables are harder.

    ``groklab replicate modulus_sweep --scale laptop``. It has no published numbers; the paper's own modulus is 97. Cost: laptop at most 1
    core hour (eight moduli, three seeds, 10⁴ steps), paper at most 40 (16 moduli from 11 to 499, five seeds, 10⁵ steps; the
    largest evaluate a quarter of a million cells).
    """
    if scale == "smoke":
        return {"x + y": _runs(operation="addition", modulus=(5, 7), train_fraction=0.8, steps=200, **_TINY)}
    if scale == "laptop":
        moduli, seeds, steps = (23, 31, 47, 61, 79, 97, 113, 139), 3, 10_000
    else:
        moduli, seeds, steps = (11, 17, 23, 31, 47, 61, 79, 97, 113, 139, 167, 199, 251, 311, 401, 499), 5, 100_000
    return {"x + y": _runs(operation="addition", modulus=moduli, train_fraction=0.5, seeds=seeds, steps=steps)}


@experiment(
    figure="losses_against(x='width')", source="the likeness to double descent, Nakkiran et al. 2020, raised about Power et al. 2022"
)
def width_sweep(scale: Scale) -> Settings:
    """Losses and accuracies on division mod 97 after a fixed number of steps, against the width, to see double descent in the size of the model if there is any.

    ``groklab replicate width_sweep --scale laptop``. Adam without weight decay, 40 % of the table, no early stop, so that every network
    gets the same number of updates. It has no published numbers for this task. Cost: laptop at most 0.5 core hours (ten widths, three
    seeds, 2,000 steps), paper at most 50 (14 widths, five seeds, 2·10⁴ steps).
    """
    if scale == "smoke":
        return {"x / y": _runs(operation="division", modulus=7, width=(4, 8), steps=40, stop="never", layers=1, heads=2)}
    widths, seeds, steps = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192), 3, 2_000
    if scale == "paper":
        widths, seeds, steps = (*(4, 6), *widths, *(256, 384)), 5, 20_000
    fixed = {"operation": "division", "train_fraction": 0.4, "optimizer": "adam", "heads": 2, "stop": "never"}
    return {"x / y": _runs(**fixed, width=widths, seeds=seeds, steps=steps)}


@experiment(
    figure="outliers",
    source="Power et al. 2022, appendix",
    results=("train_accuracy_clean", "train_accuracy_corrupted", "corrupted_cells_answered_truly"),
)
def outliers(scale: Scale) -> Settings:
    """Accuracies at the end of training on division mod 97, half of the table shown, with wrong answers among them (Power et al. 2022, appendix).

    ``groklab replicate outliers --scale laptop``. No early stop: what becomes of the wrong answers shows later than generalization. The
    paper is said to find that up to a point the network memorizes them and still generalizes. Cost: laptop at most 0.8 core hours
    (seven numbers of outliers, three seeds, 10⁴ steps), paper at most 20 (ten numbers, five seeds, 10⁵ steps).
    """
    if scale == "smoke":
        return {"x + y": _runs(operation="addition", modulus=7, train_fraction=0.8, outliers=(0, 4), steps=60, stop="never", **_TINY)}
    counts, seeds, steps = (0, 50, 100, 200, 500, 1000, 2000), 3, 10_000
    if scale == "paper":
        counts, seeds, steps = (0, 10, 20, 50, 100, 200, 500, 1000, 2000, 3000), 5, 100_000
    return {"x / y": _runs(operation="division", train_fraction=0.5, outliers=counts, seeds=seeds, steps=steps, stop="never")}


def settings_of(name: str, scale: str) -> Settings:
    """The settings of a registered experiment at one scale; ValueError for an unknown name or scale, or where it asks for no run."""
    entry = look_up("experiment", name)
    if scale not in SCALES:
        raise ValueError(f"--scale: got {scale!r}; expected one of {', '.join(SCALES)}.")
    found = entry.function(scale)
    if not any(found.values()):
        raise ValueError(f"experiment {name}: it asks for no run at scale {scale}; expected at least one.")
    return found


def by_seed(settings: Sequence[Settings]) -> list[Run]:
    """The runs of several experiments once each, all of the first seed before those of the second: what is there early covers every setting."""
    found = {run.id: run for part in settings for runs in part.values() for run in runs}
    for part in settings:  # a run that two experiments ask for is trained as far as the longer of them says
        for run in (run for runs in part.values() for run in runs):
            if run.budget.steps > found[run.id].budget.steps:
                found[run.id] = run
    return sorted(found.values(), key=lambda run: run.seeds.seed)


def _runs(*, seeds: int = 2, **fields: Any) -> list[Run]:
    """The runs of one setting: fields that are lists are crossed; of each run only the first and the last checkpoint are kept."""
    single = {name: [value] for name, value in fields.items() if name == "interventions"}
    return sweep_of(seed=range(seeds), checkpoints_per_decade=0, **fields | single).runs()
