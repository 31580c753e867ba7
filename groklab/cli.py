"""The command line: ``groklab train``, ``sweep``, ``continue``, ``show``, ``list``, ``table``, ``figure`` and so on.

The parsers are built from the dataclasses of `arguments/`, the verb's own when it is called and no other, so that
``groklab --help`` answers at once. Errors go to standard error: exit status 2 for wrong input, 1 for a failure while working,
130 after Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from groklab.laboratory.interruption import stop_requests
from groklab.outside.printable import printable
from groklab.outside.streams import aside, ended, open_what_is_closed, safe_streams, say, write_json
from groklab.text.values import shown

if TYPE_CHECKING:
    from groklab.stored.run import StoredRun

HELP = """groklab: the laboratory for grokking

Trains tiny networks on tables of binary operations, a ∘ b = c, and watches them memorize first and understand much later
(Power et al. 2022).

  groklab train                                    division mod 97, the paper's recipe; a few minutes
  groklab train --operation addition --train-fraction 0.4 --seed 1
  groklab sweep --operation addition subtraction --train-fraction 0.3 0.4 0.5 --seed 0 1 2
  groklab replicate figure1_center --scale laptop
  groklab show latest
  groklab list operations

Verbs; `groklab VERB --help` has the flags of each:
{verbs}

Every verb takes --runs DIR (default: runs) and, where it reports, --json. RUN is an id, a unique prefix of one, a path, or latest.
"""


def main(given: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    if given is None:
        open_what_is_closed()
    with safe_streams() as (output, errors):
        try:
            status = _done(list(sys.argv[1:] if given is None else given))
        except SystemExit as exit:  # of the parser, which has said why
            status = exit.code if isinstance(exit.code, int) else 0 if exit.code is None else 1
        return ended(status, output, errors, is_own_process=given is None)


def _done(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        width = max(map(len, VERBS))
        say(HELP.format(verbs="\n".join(f"  {verb:<{width}}  {told.what}" for verb, told in VERBS.items())), end="")
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        from groklab.version import __version__

        say(f"groklab {__version__}")
        return 0
    if words[0] not in VERBS:
        from groklab.registry import nearest

        return _fail(f"unknown verb {shown(words[0])}. {nearest(words[0], list(VERBS))} `groklab --help` shows all.", 2)
    from groklab.results.files import StoreError
    from groklab.results.finding import UnknownRunError

    try:
        return VERBS[words[0]].does(words[1:])
    except (ValueError, UnknownRunError) as error:
        return _fail(str(error), 2)
    except StoreError as error:
        return _fail(str(error), 1)
    except (MemoryError, OSError) as error:
        if isinstance(error, OSError):
            return _fail(f"{str(error).rstrip('.')}. What was stored is intact.", 1)
        return _fail("this machine has not enough memory for it. Choose a smaller network, table or batch.", 1)
    except KeyboardInterrupt:
        return _fail("stopped.", 130)


def _fail(message: str, status: int) -> int:
    aside(f"groklab: {message}")
    return status


def _load_plugins(words: Sequence[str]) -> None:
    from groklab import registry
    from groklab.arguments.parsing import value_of

    registry.load_plugins(value_of("--plugin", words))


# — train and continue —


def _train(words: list[str]) -> int:
    from groklab.arguments.parsing import fields_in, parse
    from groklab.arguments.start import starting_run, tell_notes
    from groklab.arguments.training import TrainArguments
    from groklab.display.training import draw, report, trained

    _load_plugins(words)
    asked = parse(TrainArguments, "train", words, TrainArguments(run=starting_run(words)))
    if asked.picture is not None:
        from groklab.figures.style import FORMATS
        from groklab.results.files import check_output

        check_output("--picture", asked.picture, tuple(FORMATS))
    run = asked.run.implied(fields_in(words))
    tell_notes([run])
    trainer = partial(_lab().train, run, runs=asked.where.runs, keep_state=asked.keep_state, track=asked.track)
    result = trained(trainer, asked)
    if asked.picture is not None:
        draw("learning_curves", [result[0]], asked.picture, None)
        if not asked.where.json:
            say(f"picture: {printable(asked.picture)}")
    return report([result], asked)


def _sweep(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.start import starting_run
    from groklab.arguments.training import sweep_arguments
    from groklab.commands import sweep as sweeping

    _load_plugins(words)
    asked = parse(sweep_arguments(), "sweep", words)
    with stop_requests() as should_stop:
        return sweeping.sweep(asked, starting_run(words), should_stop)


def _replicate(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.training import ReplicateArguments
    from groklab.replication import replication as replicating

    _load_plugins(words)
    asked = parse(ReplicateArguments, "replicate", words)
    with stop_requests() as should_stop:
        return replicating.replicate(asked, should_stop)


def _report_again(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.reading import ReportArguments
    from groklab.replication import replication as replicating

    _load_plugins(words)
    return replicating.report(parse(ReportArguments, "report", words))


def _complete(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.training import complete_arguments
    from groklab.commands.complete import complete_table

    _load_plugins(words)
    asked = parse(complete_arguments(), "complete", words)
    with stop_requests() as should_stop:
        return complete_table(asked, should_stop)


def _continue(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.training import ContinueArguments
    from groklab.commands.trust import refuse, trust_of

    _load_plugins(words)
    asked = parse(ContinueArguments, "continue", words)
    if not asked.which:
        raise ValueError("RUN: got none; expected ids, unique prefixes, paths, or latest. `groklab list runs` shows what is stored.")
    from groklab.display.training import report, trained

    lab = _lab()
    trust = trust_of(asked.trust_plugins)  # all are found, and their plugins loaded, before one is trained
    chosen = [lab.load(text, runs=asked.where.runs, trust_plugins=trust or refuse) for text in asked.which]

    results: list[tuple[StoredRun, int | None]] = []
    for stored in chosen:
        results.append(
            trained(
                partial(lab.continued, str(stored.folder.path), steps=asked.steps, device=asked.device, path=asked.path, track=asked.track),
                asked,
            )
        )
        if results[-1][1] is not None:
            break
    return report(results, asked)


def _lab() -> Any:
    from groklab.laboratory import runs as laboratory

    return laboratory


# — reading —


def _show(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.reading import ShowArguments
    from groklab.commands import reading

    return reading.show(parse(ShowArguments, "show", words))


def _list(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.reading import ListArguments
    from groklab.commands import reading

    _load_plugins(words)
    return reading.list_kind(parse(ListArguments, "list", words))


def _table(words: list[str]) -> int:
    from groklab.arguments.parsing import fields_in, parse
    from groklab.arguments.reading import TableArguments
    from groklab.commands import reading

    _load_plugins(words)
    return reading.table(parse(TableArguments, "table", words), fields_in(words))


def _measure(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.reading import MeasureArguments
    from groklab.commands.measure import measure_verb

    _load_plugins(words)
    return measure_verb(parse(MeasureArguments, "measure", words))


def _figure(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.reading import FigureArguments
    from groklab.display.training import draw
    from groklab.registry import look_up, parse_call

    _load_plugins(words)
    asked = parse(FigureArguments, "figure", words)
    entry = look_up("figure", parse_call(asked.name).name)
    chosen = [_lab().load(text, runs=asked.where.runs) for text in asked.which]
    if not chosen:
        raise ValueError("RUN: got none; expected ids, unique prefixes, paths, or latest. `groklab list runs` shows what is stored.")
    suffix = ".gif" if entry.facts.get("animated") else ".png"
    output = asked.output or chosen[0].folder.path / "figures" / f"{entry.name}{suffix}"
    draw(asked.name, chosen, output, asked.checkpoint)
    if asked.where.json:
        write_json({"figure": asked.name, "runs": [run.id for run in chosen], "output": str(output)})
    else:
        say(printable(output))
    return 0


def _dashboard(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.reading import DashboardArguments
    from groklab.commands import reading

    _load_plugins(words)
    return reading.dashboard(parse(DashboardArguments, "dashboard", words))


def _remove(words: list[str]) -> int:
    from groklab.arguments.parsing import parse
    from groklab.arguments.reading import RemoveArguments
    from groklab.commands import reading

    return reading.remove(parse(RemoveArguments, "remove", words))


# — exchange —


def _export(words: list[str]) -> int:
    from groklab.arguments.exchange import ExportArguments
    from groklab.arguments.parsing import parse
    from groklab.laboratory import networks as exchanging

    _load_plugins(words)
    return exchanging.export(parse(ExportArguments, "export", words))


def _import(words: list[str]) -> int:
    from groklab.arguments.exchange import ImportArguments
    from groklab.arguments.parsing import parse
    from groklab.laboratory import networks as exchanging

    _load_plugins(words)
    asked = parse(ImportArguments, "import", words)
    return exchanging.import_file(asked, asked.fields(words))


class Verb(NamedTuple):
    """One verb: what the help says of it, and what it does with the words behind it; the exit status comes back."""

    what: str
    does: Callable[[list[str]], int]


VERBS = {
    "train": Verb("train a network on a table until it has generalized, and draw its curves", _train),
    "sweep": Verb("train many runs side by side, every field crossed with every other", _sweep),
    "replicate": Verb("train the runs of published figures, draw them, judge the claims", _replicate),
    "report": Verb("make the report of a replication again from its results", _report_again),
    "complete": Verb("fill in the blanks of a table of your own, and tell what it is", _complete),
    "continue": Verb("train stored runs further", _continue),
    "show": Verb("print stored runs and their results", _show),
    "list": Verb("print runs, operations, groups, optimizers, measures, figures, presets …", _list),
    "table": Verb("print the table of an operation and its properties", _table),
    "measure": Verb("take measures of the checkpoints of stored runs", _measure),
    "figure": Verb("draw stored runs", _figure),
    "dashboard": Verb("look at runs in a browser, live while they are trained", _dashboard),
    "remove": Verb("delete stored runs", _remove),
    "export": Verb("write a stored run's network to a file, for groklab or TransformerLens", _export),
    "import": Verb("make a stored run of a network in a file", _import),
}
