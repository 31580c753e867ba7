"""`groklab train` and `groklab continue`: one training after the other, with its progress, its pictures and how it ended."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from groklab.analysis.grokking import told
from groklab.arguments.parsing import fields_in, parse
from groklab.arguments.start import starting_run
from groklab.arguments.training import ContinueArguments, TrainArguments
from groklab.commands.figure import draw
from groklab.commands.plugins import load_plugins, refuse, trust_of
from groklab.display.notes import tell_notes
from groklab.display.terminal import Display
from groklab.laboratory import runs as laboratory
from groklab.laboratory.interruption import stop_requests
from groklab.laboratory.progress import Interrupted
from groklab.outside.printable import command, printable
from groklab.outside.streams import aside, say, write_json
from groklab.results.files import StoreError
from groklab.stored.run import StoredRun


def train(words: list[str]) -> int:
    """Train one run as far as its results are missing."""
    load_plugins(words)
    asked = parse(TrainArguments, "train", words, TrainArguments(run=starting_run(words, trust_of)))
    if asked.picture is not None:
        from groklab.figures.style import FORMATS
        from groklab.results.files import check_output

        check_output("--picture", asked.picture, tuple(FORMATS))
    run = asked.run.implied(fields_in(words))
    tell_notes([run])
    trainer = partial(laboratory.train, run, runs=asked.where.runs, keep_state=asked.keep_state, track=asked.track)
    result = trained(trainer, asked)
    if asked.picture is not None:
        draw("learning_curves", [result[0]], asked.picture, None)
        if not asked.where.json:
            say(f"picture: {printable(asked.picture)}")
    return report([result], asked)


def continue_stored(words: list[str]) -> int:
    """Train stored runs on, one after the other."""

    load_plugins(words)
    asked = parse(ContinueArguments, "continue", words)
    if not asked.which:
        raise ValueError("RUN: got none; expected ids, unique prefixes, paths, or latest. `groklab list runs` shows what is stored.")

    trust = trust_of(asked.trust_plugins)  # all are found, and their plugins loaded, before one is trained
    chosen = [laboratory.load(text, runs=asked.where.runs, trust_plugins=trust or refuse) for text in asked.which]

    results: list[tuple[StoredRun, int | None]] = []
    for stored in chosen:
        results.append(
            trained(
                partial(
                    laboratory.continued,
                    str(stored.folder.path),
                    steps=asked.steps,
                    device=asked.device,
                    path=asked.path,
                    track=asked.track,
                ),
                asked,
            )
        )
        if results[-1][1] is not None:
            break
    return report(results, asked)


def trained(train: Callable[..., StoredRun], asked: Any) -> tuple[StoredRun, int | None]:
    """Train one run with its progress shown; the run, and the step after which the user stopped it."""
    stream = sys.stderr if asked.where.json else sys.stdout
    with stop_requests() as should_stop:
        try:
            with Display(stream) as display:
                result = train(
                    on_progress=display,
                    on_begin=display.begin,
                    on_wait=aside,
                    should_stop=should_stop,
                )
        except Interrupted as interruption:
            return interruption.run, interruption.step
    _say_where_it_stands(result, asked)
    if asked.figures:
        _draw_into_folder(result)
    return result, None


def _say_where_it_stands(result: StoredRun, asked: Any) -> None:
    """Of a run that is stored further than was asked for, how far; nothing was trained then."""
    wanted, stands = getattr(asked, "steps", None), result.folder.reached()
    tell = aside if asked.where.json else say
    if wanted is not None and wanted < stands:
        tell(f"{result.id} stands at step {stands:,} already, past the {wanted:,} asked for: nothing was trained or changed.")
    elif result.steps < stands:
        steps = f"{result.steps:,} step" + "s" * (result.steps != 1)
        tell(f"{result.id} is stored up to step {stands:,}; what follows is of its first {steps}. Nothing was changed.")


def _draw_into_folder(result: StoredRun) -> None:
    """The figures of one run, beside its results, as far as they are missing or older than these; one that cannot be drawn loses nothing.

    They are of the whole run: results that were asked for up to a smaller budget leave them as they are.
    """
    if result.steps < result.folder.reached():
        return
    newest = (result.folder.path / "history.jsonl").stat().st_mtime_ns
    for name in ("learning_curves", "operation_table"):
        picture = result.folder.path / "figures" / f"{name}.png"
        if picture.exists() and picture.stat().st_mtime_ns >= newest:
            continue
        try:
            draw(name, [result], picture, None)
        except (ValueError, StoreError) as error:
            aside(f"groklab: {name} was not drawn: {error}")


def report(results: list[tuple[StoredRun, int | None]], asked: Any) -> int:
    """Where the results of runs are and what they say, each with the step after which it was stopped; the exit status."""
    for run, stopped_after in results:
        if lacking := ", ".join(run.lacks):
            advice = "`groklab measure` takes measures of checkpoints; for the rest remove the run and train it again."
            aside(f"groklab: {run.id} was stored before, without {lacking}. {advice}")
        if asked.where.json:
            continue
        say(f"results: {printable(run.folder.path)}")
        if (run.folder.path / "figures" / "learning_curves.png").exists():
            say(f"picture: {printable(run.folder.path / 'figures' / 'learning_curves.png')}")
        if stopped_after is not None:
            again = command("groklab", "continue", run.id, "--runs", run.folder.path.parent)
            say(f"stopped after step {stopped_after:,}; saved. Go on with: {again}")
        elif run.status == "diverged":
            aside(f"diverged: {run.folder.description()['message']}. Try a smaller learning rate.")
        else:
            say(told(run.summary, threshold=run.run.budget.threshold))
    if asked.where.json:
        found = [run.to_dict() for run, _ in results]
        write_json(found[0] if len(found) == 1 else {"runs": found})
    if any(stopped_after is not None for _, stopped_after in results):
        return 130
    return 1 if any(run.status == "diverged" for run, _ in results) else 0
