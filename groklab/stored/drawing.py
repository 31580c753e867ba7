"""Figures and films of stored runs: what each takes is read, or measured where it is not kept, and drawn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from groklab import registry
from groklab.registry.signatures import checked
from groklab.stored.measurements import measure
from groklab.stored.results import StoredResults, landmarks, moment_of
from groklab.stored.tables import history_of, results_table, title_of
from groklab.text.values import shown

if TYPE_CHECKING:
    import polars
    from matplotlib.figure import Figure


@checked
def drawn(name: str, chosen: Sequence[StoredResults], *, checkpoint: int | None = None) -> Figure:
    """A registered figure of stored runs, with settings if it is written as a call, ``steps_against(x='modulus')``.

    ValueError where it does not take so many runs, has no such setting, or lacks what it needs.
    """
    problems = [str(problem) for problem in registry.call_problems("figure", name)]
    if problems:
        raise ValueError(f"figure: {' '.join(problems)}")
    call = registry.parse_call(name)
    entry, settings = registry.look_up("figure", call.name), dict(call.settings)
    takes = entry.facts["takes"]
    if entry.facts.get("animated"):
        raise ValueError(
            f"figure {shown(call.name)}: it is a film; expected a figure of one picture. `groklab figure {call.name} RUN --output F.gif` writes it."
        )
    if takes in ("history", "runs") and checkpoint is not None:
        raise ValueError(f"--checkpoint: got {checkpoint}; expected none: {call.name} shows the whole history.")
    if takes == "history":
        known = {"threshold": chosen[0].run.budget.threshold}
        settings = {name: value for name, value in known.items() if name in entry.settings} | settings
        return entry.function(history_of(chosen), **settings)
    if takes == "runs":
        columns = {kind: entry.facts.get(kind, ()) for kind in ("results", "measures")}
        return entry.function(results_table(chosen, apart=str((entry.settings | settings).get("x", "")), **columns), **settings)
    if len(chosen) != 1:
        raise ValueError(f"figure {shown(call.name)}: got {len(chosen)} runs; expected one, which it shows.")
    import polars

    table = _table_for(entry, chosen[0], checkpoint, entry.settings | settings)
    of_table = entry.facts.get("more_settings", {})  # those that say what is measured, not how it is drawn
    settings = {name: value for name, value in settings.items() if name not in of_table}
    return entry.function(table.with_columns(title=polars.lit(title_of(chosen[0]))), **settings)


def _table_for(entry: registry.Entry, run: StoredResults, checkpoint: int | None, settings: Mapping[str, Any]) -> polars.DataFrame:
    """What a figure of one run takes: the cells of its table, its elements, arrays of a measure, or its history with measures."""
    import polars

    match entry.facts["takes"]:
        case "cells":
            return run.answers(checkpoint).with_columns(threshold=polars.lit(run.run.budget.threshold))
        case "elements":
            from groklab.analysis.elements import elements_table

            run.check_known()
            step = run.last_step("checkpoints") if checkpoint is None else checkpoint
            return elements_table(run.folder, run.run, step, layer=str(settings.get("layer", "output")))
        case "arrays":
            from groklab.results.tables import arrays_table

            step = run.last_step("checkpoints") if checkpoint is None else checkpoint
            found = measure([entry.facts["measure"]], run, steps=run.stored_steps("checkpoints") if step is None else [step])[-1]
            return arrays_table(dict(found.values)).with_columns(at_step=polars.lit(found.step))
        case "checkpoints":
            return _checkpoints_table(entry, run, checkpoint, settings)
        case "measures":
            if checkpoint is not None:
                raise ValueError(f"--checkpoint: got {checkpoint}; expected none: {entry.name} shows the whole history.")
            kept = run.measured
            if kept.is_empty():
                return run.history
            new = [name for name in kept.columns if name not in run.history.columns]
            return run.history.join(kept.select("step", *new), on="step", how="full", coalesce=True).sort("step")
        case other:
            raise ValueError(
                f"figure {shown(entry.name)}: it takes {other}, which no stored run has; expected history, runs, cells, elements, arrays, checkpoints or measures."
            )


def _checkpoints_table(entry: registry.Entry, run: StoredResults, checkpoint: int | None, settings: Mapping[str, Any]) -> polars.DataFrame:
    """Arrays of a measure of several checkpoints, with ``at_step`` and ``moment``; its settings are those of the figure that it shares."""
    import polars

    from groklab.results.tables import arrays_table

    chosen = settings["steps"]
    steps = [chosen] if isinstance(chosen, int) else chosen
    if not (isinstance(steps, (tuple, list)) and all(isinstance(step, int) and step >= 0 for step in steps)):
        raise ValueError(f"figure {shown(entry.name)}: steps: got {shown(chosen)}; expected steps of checkpoints, such as (100, 1000).")
    if checkpoint is not None:
        if steps:
            raise ValueError(f"--checkpoint: got {checkpoint} and steps={tuple(steps)}; expected one of them.")
        steps = [checkpoint]
    name = entry.facts["measure"]
    shared = [setting for setting in registry.look_up("measure", name).settings if setting in settings]
    call = f"{name}({', '.join(f'{setting}={settings[setting]!r}' for setting in shared)})"
    found = measure([call], run, steps=sorted(set(steps)) or landmarks(run) or run.stored_steps("checkpoints"))
    tables = [
        arrays_table(dict(one.values)).with_columns(at_step=polars.lit(one.step), moment=polars.lit(moment_of(run, one.step)))
        for one in found
    ]
    return polars.concat(tables)


def filmed(name: str, run: StoredResults) -> Iterator[Figure]:
    """The frames of a registered film of a run, one for each of its checkpoints."""
    import polars

    from groklab.analysis.elements import elements_table

    problems = [str(problem) for problem in registry.call_problems("figure", name)]
    if problems:
        raise ValueError(f"figure: {' '.join(problems)}")
    entry = registry.look_up("figure", registry.parse_call(name).name)
    steps = run.stored_steps("answers")
    if not steps:
        raise ValueError(f"figure {shown(entry.name)}: {run.id} has no stored answers; expected at least those of one checkpoint.")
    history = run.history.with_columns(title=polars.lit(title_of(run)), threshold=polars.lit(run.run.budget.threshold))
    cells = [run.answers(step) for step in steps]
    return entry.function(history, cells, [elements_table(run.folder, run.run, step) for step in steps])
