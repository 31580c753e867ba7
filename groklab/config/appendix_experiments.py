"""Named experiments on the two questions of the paper's appendix, at the scales of `experiments.py`: outliers, and the flatness of minima."""

from __future__ import annotations

from typing import Any

from groklab.config.experiments import TINY, Scale, Settings, once_each, runs_of
from groklab.config.power_experiments import METHODS, figure1_center, figure2_left
from groklab.registry import experiment

_OUTLIERS_LAPTOP = (0, 50, 100, 200, 500, 1000, 2000)
_OUTLIERS_PAPER = (0, 10, 20, 50, 100, 200, 500, 1000, 2000, 3000)


@experiment(
    figure="outliers",
    source="Power et al. 2022, appendix",
    results=("train_accuracy_clean", "train_accuracy_corrupted", "corrupted_cells_answered_truly"),
)
def outliers(scale: Scale) -> Settings:
    """Accuracies at the end of training on division mod 97, half of the table shown, with wrong answers among them (Power et al. 2022, appendix).

    ``groklab replicate outliers --scale laptop``. No early stop where there are any: what becomes of the wrong answers shows later than generalization. The
    paper is said to find that up to a point the network memorizes them and still generalizes. Cost: laptop at most 0.8 core hours
    (seven numbers of outliers, three seeds, 10⁴ steps), paper at most 20 (ten numbers, five seeds, 10⁵ steps).
    """
    if scale == "smoke":
        tiny: dict[str, Any] = {"operation": "addition", "modulus": 7, "train_fraction": 0.8, "steps": 60} | TINY
        return {"x + y": runs_of(**tiny, outliers=(0, 4), stop="never")}
    counts, seeds, steps = (_OUTLIERS_LAPTOP, 3, 10_000) if scale == "laptop" else (_OUTLIERS_PAPER, 5, 100_000)
    asked: dict[str, Any] = {"operation": "division", "train_fraction": 0.5, "seeds": seeds, "steps": steps}
    # Without outliers nothing happens after generalization, and the run is one of many experiments: it may stop early.
    return {"x / y": [*runs_of(**asked, outliers=0), *runs_of(**asked, outliers=counts[1:], stop="never")]}


@experiment(figure="sharpness", source="Power et al. 2022, appendix; Keskar et al. 2016", measures=("sharpness",))
def sharpness(scale: Scale) -> Settings:
    """Sharpness of the minimum against validation accuracy, over ways of optimizing the product in S₅ and shares of its table (Power et al. 2022, appendix).

    ``groklab replicate sharpness --scale laptop``. The networks are those that ``figure2_left`` and ``figure1_center`` train, at the end of
    the longer of their budgets; nothing else is trained. Those that stop once they have memorized are left out, since they are not at a minimum. The
    paper is said to find that the flatter minima are those that generalize. What is told is Spearman's rank correlation over runs, with a
    bootstrap interval; runs of one setting are alike, so that it is narrower than new settings would make it. Cost: laptop at most 3
    core hours (35 runs, 0.4 of the hours to measure them), paper at most 1110 (567 runs, 5 to measure them).
    """
    left = figure2_left(scale)
    if scale == "smoke":
        return {name: left[name] for name in list(METHODS)[:4]}
    center = [run for runs in figure1_center(scale).values() for run in runs]
    asked = {name: [*runs, *(center if name == "AdamW, decay 1" else ())] for name, runs in left.items()}
    longest = once_each(run for runs in asked.values() for run in runs)
    names = {run.id: name for name, runs in asked.items() for run in runs}
    found: Settings = {}
    for run in longest:
        if run.budget.stop != "memorized":
            found.setdefault(names[run.id], []).append(run)
    return found
