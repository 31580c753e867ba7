"""The figures of Power et al. 2022 as experiments, and two questions that readers raised about them."""

from __future__ import annotations

from typing import Any

from groklab.config.experiments import SOON, TINY, Scale, Settings, runs_of
from groklab.registry import experiment

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
    "Adam, dropout 0.1": {"optimizer": "adam", "interventions": ("residual_dropout(rate=0.1, after='mlp')",)},
    "Adam, full batch": {"optimizer": "adam", "batch_size": "full"},
    "Adam, full batch, noise": {"optimizer": "adam", "batch_size": "full", "interventions": ("update_noise(std=1.0)",)},
}
"""The nine ways of optimizing of the paper's Figure 2 (left); dropout is that of the official implementation, after the MLPs alone."""

COSTLY = ("Adam, dropout 0.1", "Adam, full batch", "Adam, full batch, noise")
"""Those of them whose steps take 5 to 25 times as long."""

COMPARED = ("AdamW, decay 1", "AdamW, decay 1 to initial", "Adam", "Adam, weight noise", "Adam, full batch", "Adam, full batch, noise")
"""Those of them that claims compare with each other, for which it takes five seeds at one fraction."""

RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)


@experiment(figure="curves_by_setting", source="Power et al. 2022, Figure 1 left", findings=("validation_on_the_way",))
def figure1_left(scale: Scale) -> Settings:
    """Accuracy and loss against step on division mod 97, half of the table shown, by Adam without decay and by AdamW (Power et al. 2022, Figure 1 left).

    ``groklab replicate figure1_left --scale laptop``. The paper, Adam: train accuracy near perfect before 10³ updates, validation accuracy
    very little before 10⁵ and near perfect close to 10⁶. With AdamW the same network generalizes at 3,981 to 4,786 (seeds 0 to 4). Cost:
    laptop at most 1.3 core hours (Adam 10⁵ updates of three seeds and 2,000 of two more; AdamW five seeds), paper at most 20 (10⁶ updates, five seeds).
    """
    adam, adamw = METHODS["Adam"], METHODS["AdamW, decay 1"]
    if scale == "smoke":
        tiny: dict[str, Any] = {"operation": "addition", "modulus": 7, "train_fraction": 0.7, "steps": 60} | TINY
        return {"Adam, no decay": runs_of(**tiny, **adam, seeds=1), "AdamW, decay 1": runs_of(**tiny, **adamw, seeds=1)}
    task = {"operation": "division", "train_fraction": 0.5}
    if scale == "laptop":
        long, short = runs_of(**task, **adam, seeds=3, steps=100_000), runs_of(**task, **adam, seeds=(3, 4), steps=2_000)
        return {"Adam, no decay": [*long, *short], "AdamW, decay 1": runs_of(**task, **adamw, seeds=5, steps=10_000, **SOON)}
    return {
        "Adam, no decay": runs_of(**task, **adam, seeds=5, steps=1_000_000, checkpoints_per_decade=8),
        "AdamW, decay 1": runs_of(**task, **adamw, seeds=5, steps=100_000),
    }


@experiment(figure="steps_against", source="Power et al. 2022, Figure 1 center")
def figure1_center(scale: Scale) -> Settings:
    """Steps until the product in S₅ is memorized and generalized, against the share of the table shown (Power et al. 2022, Figure 1 center).

    ``groklab replicate figure1_center --scale laptop``. The paper: memorizing takes 10³ to 10⁴ steps at every fraction, fewer with less
    data; generalizing takes 40 to 50 % more steps for every percent of data less near 25 to 30 %. Cost: laptop at most 1.6 core
    hours (one seed at seven fractions up to 5·10⁴ steps, five at 50 and 80 %), paper at most 206 (15 fractions, 5 seeds, 10⁶ steps, and from 60 % on
    10⁵ without an early stop).
    """
    if scale == "smoke":
        return {"product in S₃": runs_of(operation="group_product", group="symmetric(3)", train_fraction=(0.7, 0.8), steps=200, **TINY)}
    if scale == "laptop":
        wide = runs_of(operation="s5_product", train_fraction=(0.4, 0.45, 0.5, 0.55, 0.6, 0.7, 0.8), seeds=1, steps=50_000)
        few = runs_of(operation="s5_product", train_fraction=0.5, seeds=range(1, 5), steps=6_000, **SOON)
        many = runs_of(operation="s5_product", train_fraction=0.8, seeds=range(1, 5), steps=10_000, **SOON)
        return {"x · y in S₅": [*wide, *few, *many]}
    # Where data are many networks generalize early; how they end is known of those that are trained on.
    few, many = (0.25, 0.26, 0.27, 0.28, 0.29, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55), (0.6, 0.65, 0.7, 0.8)
    slow = runs_of(operation="s5_product", train_fraction=few, seeds=5, steps=1_000_000)
    return {"x · y in S₅": [*slow, *runs_of(operation="s5_product", train_fraction=many, seeds=5, steps=100_000, stop="never")]}


@experiment(figure="operation_table", source="Power et al. 2022, Figure 1 right")
def figure1_right(scale: Scale) -> Settings:
    """A small table with part of its cells hidden, as a network that has grokked it answers them (after Power et al. 2022, Figure 1 right).

    ``groklab replicate figure1_right --scale laptop``. The paper's picture is a puzzle without a run behind it: five letters, some cells
    empty. Here the puzzle is addition mod 12 and a small network solves it. Cost: laptop at most 0.1 core hours (three seeds of
    one small network), paper the same.
    """
    task = {
        "operation": "addition",
        "modulus": 12,
        "layers": 1,
        "width": 64,
        "train_fraction": 0.7,
        "optimizer": "muon(other_learning_rate=0.003)",
    }
    if scale == "smoke":
        return {"x + y": runs_of(**task, weight_decay=1.0, steps=60, seeds=1)}
    return {"x + y": runs_of(**task, weight_decay=1.0, steps=3_000, seeds=3)}


@experiment(figure="accuracy_against", source="Power et al. 2022, Figure 2 left")
def figure2_left(scale: Scale) -> Settings:
    """Best validation accuracy of nine ways of optimizing the product in S₅, against the share of the table shown (Power et al. 2022, Figure 2 left).

    ``groklab replicate figure2_left --scale laptop``. The paper: weight decay more than halves the data that is needed, decay towards the
    initial weights helps less, some noise helps, the learning rate must lie within about a factor of ten, and every way memorizes after 10³ to
    10⁴ updates. Cost: laptop at most 5.8 core hours (at 50 % all nine ways until they have memorized, three seeds, at most 10⁴ updates; at
    90 % three of them to 2·10⁴, five seeds; at 70 % five of them to 2·10⁴, one seed), paper at most 850 (19 fractions, three seeds, 10⁵ steps,
    and five seeds at 90 % of the six ways that are compared there; full batches are two thirds of it).
    """
    if scale == "smoke":
        tiny = {"operation": "group_product", "group": "symmetric(3)", "layers": 1, "width": 32, "heads": 2, "steps": 60}
        return {name: runs_of(**tiny, train_fraction=(0.6, 0.8), seeds=1, **fields) for name, fields in METHODS.items()}
    task = {"operation": "s5_product"}
    if scale == "paper":
        fractions = tuple(round(0.05 * k, 2) for k in range(1, 20))
        full = {name: runs_of(**task, train_fraction=fractions, seeds=3, steps=100_000, **fields) for name, fields in METHODS.items()}
        for name in COMPARED:
            full[name] += runs_of(**task, train_fraction=0.9, seeds=(3, 4), steps=100_000, **METHODS[name])
        return full
    found: Settings = {}
    for name, fields in METHODS.items():
        most = 6_000 if name == "AdamW, decay 1" else 10_000  # the runs of figure1_center, which go no further
        found[name] = runs_of(**task, train_fraction=0.5, seeds=3, steps=most, stop="memorized", **fields)
        if name not in COSTLY:
            found[name] += runs_of(**task, train_fraction=0.7, seeds=1, steps=20_000, **fields)
        if name in ("AdamW, decay 1", "AdamW, decay 1 to initial", "Adam"):
            found[name] += runs_of(**task, train_fraction=0.9, seeds=5, steps=20_000, **SOON, **fields)
    return found


@experiment(figure="steps_against(x='learning_rate')", source="Power et al. 2022, §3.3")
def learning_rates(scale: Scale) -> Settings:
    """Steps until division mod 97 is generalized, half of the table shown, by AdamW at rates a factor of three apart (Power et al. 2022, §3.3).

    ``groklab replicate learning_rates --scale laptop``. The paper: the learning rate must lie within about one order of magnitude. Cost:
    laptop at most 0.8 core hours (five rates, two seeds, 2·10⁴ steps), paper at most 17 (nine rates, five seeds, 10⁵ steps).
    """
    if scale == "smoke":
        tiny: dict[str, Any] = TINY | {"learning_rate": (1e-3, 1e-2)}
        return {"AdamW": runs_of(operation="addition", modulus=7, train_fraction=0.7, steps=60, **tiny)}
    rates = RATES if scale == "laptop" else (1e-5, 3e-5, *RATES, 3e-2, 1e-1)
    seeds, steps = (2, 20_000) if scale == "laptop" else (5, 100_000)
    return {"AdamW": runs_of(operation="division", train_fraction=0.5, learning_rate=rates, seeds=seeds, steps=steps, **SOON)}


@experiment(figure="accuracy_against", source="Power et al. 2022, Figure 2 right")
def figure2_right(scale: Scale) -> Settings:
    """Best validation accuracy on the paper's twelve operations, against the share of the table shown (Power et al. 2022, Figure 2 right).

    ``groklab replicate figure2_right --scale laptop``. The paper, within 10⁵ steps: symmetric operations need less data than their
    asymmetric counterparts, x − y and x / y about the same, x³ + xy² + y is not learned at any fraction up to 95 %. Cost: laptop at most 4.4
    core hours (one seed of every operation at four fractions, 10⁴ steps; five seeds at the fractions where operations are compared; 10⁵
    steps of x³ + xy² + y at 95 %), paper at most 275 (19 fractions, three seeds, 10⁵ steps, five seeds where operations are compared; x · y
    mod 97 beside the twelve).
    """
    if scale == "smoke":
        modulus = {name: None if name.startswith("s5") else 7 for name in OPERATIONS.values()}
        tiny: dict[str, Any] = {"train_fraction": (0.5, 0.8), "seeds": 1, "steps": 40} | TINY
        return {label: runs_of(operation=name, modulus=modulus[name], **tiny) for label, name in OPERATIONS.items()}
    every = {**OPERATIONS, "x · y": "multiplication"}
    if scale == "paper":
        fractions = tuple(round(0.05 * k, 2) for k in range(1, 20))
        full = {label: runs_of(operation=name, train_fraction=fractions, seeds=3, steps=100_000) for label, name in every.items()}
        for label, compared, seeds, _ in _DECIDING:
            full[label] += runs_of(operation=every[label], train_fraction=compared, seeds=seeds, steps=100_000)
        return full
    found: Settings = {
        label: runs_of(operation=name, train_fraction=(0.4, 0.5, 0.7, 0.9), seeds=1, steps=10_000, **SOON) for label, name in every.items()
    }
    for label, fractions, seeds, steps in _DECIDING:
        found[label] += runs_of(operation=every[label], train_fraction=fractions, seeds=seeds, steps=steps, **SOON)
    return found


_DECIDING = (
    *(("x + y", 0.5, 5, 10_000), ("x − y", (0.5, 0.7), 5, 10_000), ("x · y", 0.5, 5, 10_000), ("x / y", (0.5, 0.7), 5, 10_000)),
    *(("x² + xy + y²", 0.9, 5, 6_000), ("x² + xy + y² + x", 0.9, 5, 6_000)),
    ("x / y if y is odd, else x − y", 0.9, 3, 30_000),
    ("x³ + xy² + y", 0.95, 3, 100_000),
)
"""What claims compare: setting, fractions, seeds, and steps at the scale laptop. The fractions were chosen before any run was judged."""


@experiment(
    figure="cosets",
    source="Power et al. 2022, Figure 3 left",
    findings=("cosets_of_output",),
)
def figure3_left(scale: Scale) -> Settings:
    """t-SNE of the output layer of networks that have generalized the product in S₅, colored by coset (Power et al. 2022, Figure 3 left).

    ``groklab replicate figure3_left --scale laptop``. The paper: clusters are the cosets of a subgroup of order 10 (dihedral, 12 cosets) or
    of a conjugate, more apparent with weight decay; its networks are said to be trained long. Those of the scale laptop end at the second
    evaluation at 99 %, a tenth to a fifth of their steps after they generalized, those of the scale paper at the fourth. Cost: laptop at most 0.2 core
    hours (AdamW at 80 %, three seeds, 10⁴ steps, of those of figure1_center), paper at most 20 (Adam without decay too, five seeds, 10⁶ steps).
    """
    if scale == "smoke":
        return {"AdamW, decay 1": runs_of(operation="group_product", group="symmetric(3)", train_fraction=0.8, steps=200, seeds=1, **TINY)}
    task = {"operation": "s5_product", "train_fraction": 0.8}
    if scale == "laptop":
        return {"AdamW, decay 1": runs_of(**task, seeds=range(1, 4), steps=10_000, **SOON)}
    return {
        "AdamW, decay 1": runs_of(**task, seeds=5, steps=100_000),
        "Adam": runs_of(**task, **METHODS["Adam"], seeds=5, steps=1_000_000),
    }


@experiment(
    figure="number_line",
    source="Power et al. 2022, Figure 3 right",
    findings=("circle_of_output", "line_of_output"),
)
def figure3_right(scale: Scale) -> Settings:
    """t-SNE of the output layer of networks that have generalized addition mod 97, with the line along which one step is +k (Power et al. 2022, Figure 3 right).

    ``groklab replicate figure3_right --scale laptop``. The paper: a circle or a cylinder on which adding 8 walks along a line; which number it
    is differs from network to network. Cost: laptop at most 0.2 core hours (AdamW at 50 %, three seeds, 10⁴ steps, of those of
    figure2_right), paper at most 20 (Adam without decay too, five seeds, 10⁶ steps).
    """
    if scale == "smoke":
        return {"AdamW, decay 1": runs_of(operation="addition", modulus=7, train_fraction=0.8, steps=200, seeds=1, **TINY)}
    task = {"operation": "addition", "train_fraction": 0.5}
    if scale == "laptop":
        return {"AdamW, decay 1": runs_of(**task, seeds=range(1, 4), steps=10_000, **SOON)}
    return {
        "AdamW, decay 1": runs_of(**task, seeds=5, steps=100_000),
        "Adam": runs_of(**task, **METHODS["Adam"], seeds=5, steps=1_000_000),
    }


@experiment(
    figure="curves_by_setting(quantity='loss')",
    source="Power et al. 2022, Figure 4",
    findings=("rise_and_fall_of_loss",),
)
def figure4(scale: Scale) -> Settings:
    """Training and validation loss of the runs of Figure 1 left by Adam without decay, on logarithmic axes (Power et al. 2022, Figure 4).

    ``groklab replicate figure4 --scale laptop``. The paper: the validation loss rises and falls again, a double descent in steps. Cost: laptop
    at most 1.2 core hours (the runs of figure1_left), paper at most 20.
    """
    return {name: runs for name, runs in figure1_left(scale).items() if name.startswith("Adam,")}


@experiment(figure="steps_against(x='modulus')", source="the question of larger tables, raised about Power et al. 2022")
def modulus_sweep(scale: Scale) -> Settings:
    """Steps until addition is memorized and generalized, half of the table shown, against the modulus, to see whether larger tables are harder.

    ``groklab replicate modulus_sweep --scale laptop``. It has no published numbers; the paper's own modulus is 97. Cost: laptop at most 1
    core hour (eight moduli, three seeds, 10⁴ steps), paper at most 24 (16 moduli from 11 to 499, five seeds, 10⁵ steps; the
    largest evaluate a quarter of a million cells).
    """
    if scale == "smoke":
        return {"x + y": runs_of(operation="addition", modulus=(5, 7), train_fraction=0.8, steps=200, **TINY)}
    if scale == "laptop":
        moduli, seeds, steps = (23, 31, 47, 61, 79, 97, 113, 139), 3, 10_000
    else:
        moduli, seeds, steps = (11, 17, 23, 31, 47, 61, 79, 97, 113, 139, 167, 199, 251, 311, 401, 499), 5, 100_000
    return {"x + y": runs_of(operation="addition", modulus=moduli, train_fraction=0.5, seeds=seeds, steps=steps)}


@experiment(
    figure="losses_against(x='width')", source="the likeness to double descent, Nakkiran et al. 2020, raised about Power et al. 2022"
)
def width_sweep(scale: Scale) -> Settings:
    """Losses and accuracies on division mod 97 after a fixed number of steps, against the width, to see double descent in the size of the model if there is any.

    ``groklab replicate width_sweep --scale laptop``. Adam without weight decay, 40 % of the table, no early stop, so that every network
    gets the same number of updates. It has no published numbers for this task. Cost: laptop at most 0.2 core hours (ten widths, three
    seeds, 2,000 steps), paper at most 4 (14 widths, five seeds, 2·10⁴ steps).
    """
    if scale == "smoke":
        return {"x / y": runs_of(operation="division", modulus=7, width=(4, 8), steps=40, stop="never", layers=1, heads=2)}
    widths, seeds, steps = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192), 3, 2_000
    if scale == "paper":
        widths, seeds, steps = (*(4, 6), *widths, *(256, 384)), 5, 20_000
    fixed = {"operation": "division", "train_fraction": 0.4, "optimizer": "adam", "heads": 2, "stop": "never"}
    return {"x / y": runs_of(**fixed, width=widths, seeds=seeds, steps=steps)}
