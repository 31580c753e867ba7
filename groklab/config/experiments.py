"""Named experiments: the runs behind a published figure, at three scales, and the order in which to train them.

    smoke     seconds: tiny tables and networks that go through all the code; nothing is to be learned from them
    laptop    an evening on two cores: the published task and network, and of its grid what decides the claims that few runs can decide
    paper     the full grid, for a cluster or a GPU

``groklab replicate NAME --scale SCALE`` trains what is missing, draws the figure and judges the claims. The experiments themselves are
in files of their own: those of Power et al. 2022 and those of later work. Costs in their docstrings are upper bounds, as if no run
ended before its budget: hours of one core at the 13 ms a step that the paper's network takes on the machine of docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any, Literal, get_args

from groklab.config.run import Run
from groklab.config.stops import laxer
from groklab.config.sweep import sweep_of
from groklab.registry import look_up
from groklab.text.values import shown

Scale = Literal["smoke", "laptop", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)

Settings = dict[str, list[Run]]
"""The name of a setting, as figures and tables show it, and its runs."""

TINY: dict[str, Any] = {"layers": 1, "width": 32, "heads": 2, "learning_rate": 0.003}
"""The network of the scale smoke."""

SOON: dict[str, Any] = {"stop": "generalized(confirmations=1)"}
"""At the scale laptop runs end at the second evaluation at the threshold: steps to generalize are known, and a third of the time is saved."""


def runs_of(*, seeds: int | Iterable[int] = 2, **fields: Any) -> list[Run]:
    """The runs of one setting: fields that are lists are crossed, for the first so many seeds or those given.

    Of each run the first and the last checkpoint are kept, unless ``checkpoints_per_decade`` says otherwise.
    """
    single: dict[str, Any] = {
        name: [value] for name, value in fields.items() if name in ("interventions", "measures", "betas", "decay_parameters")
    }
    several = range(seeds) if isinstance(seeds, int) else list(seeds)
    given: dict[str, Any] = {"checkpoints_per_decade": 0} | fields | single
    return sweep_of(seed=several, **given).runs()


def settings_of(name: str, scale: str) -> Settings:
    """The settings of a registered experiment at one scale; ValueError for an unknown name or scale, or where it asks for no run."""
    entry = look_up("experiment", name)
    if scale not in SCALES:
        raise ValueError(f"--scale: got {shown(scale)}; expected one of {', '.join(SCALES)}.")
    found = _settings_of(entry.function, scale)
    if not any(found.values()):
        raise ValueError(f"experiment {name}: it asks for no run at scale {scale}; expected at least one.")
    return {label: list(runs) for label, runs in found.items()}


@lru_cache(maxsize=256)
def _settings_of(experiment: Callable[[str], Settings], scale: str) -> Settings:
    """What an experiment says, which is asked again for every claim that it decides and has thousands of runs to check."""
    return {label: once_each(runs) for label, runs in experiment(scale).items()}


def once_each(runs: Iterable[Run]) -> list[Run]:
    """Each run once, in the order in which it first comes; one that is asked for twice is trained as far as each of them asks."""
    found: dict[str, Run] = {}
    for run in runs:
        found[run.id] = _as_far_as_both(found[run.id], run) if run.id in found else run
    return list(found.values())


def _as_far_as_both(first: Run, second: Run) -> Run:
    """A run whose budget satisfies both, whatever the order in which they are named."""
    one, other = first.budget, second.budget
    return first.replace(
        steps=max(one.steps, other.steps),
        stop=laxer(one.stop, other.stop),
        threshold=max(one.threshold, other.threshold),
        evaluations_per_decade=max(one.evaluations_per_decade, other.evaluations_per_decade),
        checkpoints_per_decade=max(one.checkpoints_per_decade, other.checkpoints_per_decade),
        measures=tuple(dict.fromkeys((*one.measures, *other.measures))),
    )


def price(run: Run) -> float:
    """Steps of the paper's usual batch of 512 that a run costs at most: what runs are ordered and prices told by, not a measurement."""
    values = run.resolved()
    cells = _CELLS.get(values["operation"]) or (values["modulus"] or 97) ** 2
    shown = max(2, round(values["train_fraction"] * cells))
    asked = values["batch_size"]
    batch = shown if asked == "full" else min(512, -(-shown // 2)) if asked == "half" else int(asked)
    width = values["width"] / 128 if values["architecture"] == "transformer" else 0.5
    dropout = 5.0 if any(call.startswith("residual_dropout") for call in values["interventions"]) else 1.0
    double = 2.0 if values["precision"] == "float64" else 1.0
    return run.budget.steps * max(batch / 512, 0.1) * values["layers"] / 2 * max(width, 0.1) * dropout * double


_CELLS = {"s5_product": 14_400, "s5_conjugation": 14_400, "s5_sandwich": 14_400, "group_product": 576}


def cheapest_decision_first(groups: Sequence[Sequence[Run]], rest: Iterable[Run], *, free: Collection[str] = ()) -> list[Run]:
    """All runs once each: always next the group that costs least to complete, and what belongs to none last, seed by seed.

    A group is what one claim needs. What it shares with one that was taken before costs nothing more, nor do the runs with ids in ``free``.
    """
    everything = once_each([*(run for group in groups for run in group), *rest])
    by_id = {run.id: run for run in everything}
    waiting, taken = [{run.id for run in group} for group in groups], dict[str, Run]()
    while waiting:
        open_costs = [sum(price(by_id[identity]) for identity in group - taken.keys() - set(free)) for group in waiting]
        cheapest = waiting.pop(open_costs.index(min(open_costs)))
        chosen = [by_id[identity] for identity in by_id if identity in cheapest and identity not in taken]
        taken |= {run.id: run for run in sorted(chosen, key=lambda run: run.seeds.seed)}
    left = [run for run in everything if run.id not in taken]
    return [*taken.values(), *sorted(left, key=lambda run: run.seeds.seed)]
