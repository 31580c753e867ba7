"""The two questions of the paper's appendix as experiments: wrong answers among the training cells, and the flatness of minima."""

from __future__ import annotations

from groklab.config.experiments import TINY, Scale, Settings, once_each, runs_of
from groklab.config.power_experiments import COSTLY, METHODS, figure1_center, figure2_left
from groklab.registry import experiment


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
        return {"x + y": runs_of(operation="addition", modulus=7, train_fraction=0.8, outliers=(0, 4), steps=60, stop="never", **TINY)}
    counts, seeds, steps = (0, 50, 100, 200, 500, 1000, 2000), 3, 10_000
    if scale == "paper":
        counts, seeds, steps = (0, 10, 20, 50, 100, 200, 500, 1000, 2000, 3000), 5, 100_000
    return {"x / y": runs_of(operation="division", train_fraction=0.5, outliers=counts, seeds=seeds, steps=steps, stop="never")}


@experiment(figure="sharpness", source="Power et al. 2022, appendix; Keskar et al. 2017", measures=("sharpness",))
def sharpness(scale: Scale) -> Settings:
    """Sharpness of the minimum against validation accuracy, over ways of optimizing the product in S₅ and shares of its table (Power et al. 2022, appendix).

    ``groklab replicate sharpness --scale laptop``. The networks are those of ``figure2_left``, each at the end of the longest budget that an
    experiment has for it; nothing else is trained. The paper is said to find that the flatter minima are those that generalize. What is told is
    Spearman's rank correlation over runs with a bootstrap interval; runs of one setting are alike, so that it is narrower than new settings
    would make it. Cost: laptop at most 1.9 core hours (the six ways whose steps are not costly), paper at most 900 (nine ways, 19
    fractions, three seeds).
    """
    costly = COSTLY if scale == "laptop" else ()
    chosen = list(METHODS)[:4] if scale == "smoke" else [name for name in METHODS if name not in costly]
    left, center = figure2_left(scale), figure1_center(scale)
    longest = {run.id: run for run in once_each(run for part in (left, center) for runs in part.values() for run in runs)}
    return {name: [longest[run.id] for run in left[name]] for name in chosen}
