"""What claims ask of single runs beyond their summary: of histories, and of the output layer at a checkpoint.

A finding is a function of a stored run that gives named numbers, columns of its experiment's table. Those of a layer rest on
permutations and take seconds; whoever asks for many keeps them (``replication/evidence.py``). All are deterministic.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from groklab.analysis.cosets import search_cosets
from groklab.analysis.elements import elements_table, group_of, matrix_of, order_of
from groklab.analysis.structure import circularity, number_line
from groklab.config.run import Run
from groklab.data.groups import group_named
from groklab.results.store import RunFolder

Rows = Sequence[Mapping[str, Any]]
Finding = dict[str, float | str | None]


def rise_and_fall_of_loss(rows: Rows) -> Finding:
    """Validation loss of a history: at first, at its peak (and when), and the smallest after the peak, in nats."""
    losses = [(int(row["step"]), float(row["validation_loss"])) for row in rows if row.get("validation_loss") is not None]
    if not losses:
        return {"loss_at_first": None, "loss_at_peak": None, "step_of_peak": None, "loss_after_peak": None}
    step, peak = max(losses, key=lambda pair: pair[1])
    after = [loss for at, loss in losses if at >= step]
    return {"loss_at_first": losses[0][1], "loss_at_peak": peak, "step_of_peak": step, "loss_after_peak": min(after)}


def validation_on_the_way(rows: Rows) -> Finding:
    """Best validation accuracy up to 10⁵ steps, where so many were made."""
    accuracies = [(int(row["step"]), row["validation_accuracy"]) for row in rows if row.get("validation_accuracy") is not None]
    early = [accuracy for step, accuracy in accuracies if step <= 100_000]
    reaches = bool(accuracies) and accuracies[-1][0] >= 100_000
    return {"best_validation_accuracy_to_100000": max(early) if reaches else None}


def circle_of_output(folder: RunFolder, run: Run, step: int) -> Finding:
    """Whether elements lie on circles in the output layer: score, chance and p value (``structure.circularity``)."""
    elements = elements_table(folder, run, step)
    found = circularity(matrix_of(elements), order_of(elements))
    return {"circle_score": found.score, "circle_chance": found.chance, "circle_p": found.p_value, "circle_adjusted": found.adjusted}


def line_of_output(folder: RunFolder, run: Run, step: int) -> Finding:
    """The step +k along which the output layer is a line, in all its dimensions: k, score and p value (``structure.number_line``)."""
    elements = elements_table(folder, run, step)
    found = number_line(matrix_of(elements), order_of(elements))
    return {"line_step": found.step, "line_score": found.score, "line_p": found.p_value}


def cosets_of_output(folder: RunFolder, run: Run, step: int) -> Finding:
    """The subgroup whose cosets explain the output layer best: its order, number of cosets, name, share and p value (``cosets``)."""
    elements = elements_table(folder, run, step)
    best = search_cosets(matrix_of(elements), group_named(group_of(run) or "")).best
    return {
        "coset_subgroup": best.subgroup.name, "coset_type": best.subgroup.type, "cosets": best.subgroup.index, "coset_side": best.side,
        "coset_share": best.share, "coset_chance": best.expected, "coset_p": best.p_corrected,
    }  # fmt: skip


OF_HISTORY: dict[str, Callable[[Rows], Finding]] = {
    function.__name__: function for function in (rise_and_fall_of_loss, validation_on_the_way)
}
OF_LAYER: dict[str, Callable[[RunFolder, Run, int], Finding]] = {
    function.__name__: function for function in (circle_of_output, line_of_output, cosets_of_output)
}
