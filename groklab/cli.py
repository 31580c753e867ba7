"""The command line: ``groklab train``, ``sweep``, ``continue``, ``show``, ``list``, ``table``, ``figure`` and so on.

What a verb does stands in `commands/`. It is imported when it is called, and no other, so that ``groklab --help`` answers at once. Errors go to standard error: exit status 2 for wrong input, 1 for a failure while working,
130 after Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from groklab.outside.streams import aside, ended, open_what_is_closed, safe_streams, say
from groklab.text.values import shown

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


# — a verb is imported when it is called, and no other —


def _train(words: list[str]) -> int:
    from groklab.commands.train import train

    return train(words)


def _sweep(words: list[str]) -> int:
    from groklab.commands.sweep import sweep

    return sweep(words)


def _replicate(words: list[str]) -> int:
    from groklab.commands.replicate import replicate

    return replicate(words)


def _report(words: list[str]) -> int:
    from groklab.commands.replicate import report

    return report(words)


def _complete(words: list[str]) -> int:
    from groklab.commands.complete import complete_table

    return complete_table(words)


def _continue(words: list[str]) -> int:
    from groklab.commands.train import continue_stored

    return continue_stored(words)


def _show(words: list[str]) -> int:
    from groklab.commands.show import show

    return show(words)


def _list(words: list[str]) -> int:
    from groklab.commands.list import list_kind

    return list_kind(words)


def _table(words: list[str]) -> int:
    from groklab.commands.table import table

    return table(words)


def _measure(words: list[str]) -> int:
    from groklab.commands.measure import measure_checkpoints

    return measure_checkpoints(words)


def _figure(words: list[str]) -> int:
    from groklab.commands.figure import figure

    return figure(words)


def _dashboard(words: list[str]) -> int:
    from groklab.commands.dashboard import dashboard

    return dashboard(words)


def _remove(words: list[str]) -> int:
    from groklab.commands.remove import remove

    return remove(words)


def _export(words: list[str]) -> int:
    from groklab.commands.exchange import export

    return export(words)


def _import(words: list[str]) -> int:
    from groklab.commands.exchange import import_file

    return import_file(words)


def _check(words: list[str]) -> int:
    from groklab.commands.check import check

    return check(words)


class Verb(NamedTuple):
    """One verb: what the help says of it, and what it does with the words behind it; the exit status comes back."""

    what: str
    does: Callable[[list[str]], int]


VERBS = {
    "train": Verb("train a network on a table until it has generalized, and draw its curves", _train),
    "sweep": Verb("train many runs side by side, every field crossed with every other", _sweep),
    "replicate": Verb("train the runs of published figures, draw them, judge the claims", _replicate),
    "report": Verb("make the report of a replication again from its results", _report),
    "complete": Verb("fill in the blanks of a table of your own, and tell what it is", _complete),
    "continue": Verb("train stored runs further", _continue),
    "show": Verb("print stored runs and their results", _show),
    "list": Verb("print runs, operations, groups, optimizers, measures, figures, presets …", _list),
    "table": Verb("print the table of an operation and its properties", _table),
    "measure": Verb("take measures of the checkpoints of stored runs", _measure),
    "figure": Verb("draw stored runs", _figure),
    "check": Verb("try the operations, measures … of a file of your own", _check),
    "dashboard": Verb("look at runs in a browser, live while they are trained", _dashboard),
    "remove": Verb("delete stored runs", _remove),
    "export": Verb("write a stored run's network to a file, for groklab or TransformerLens", _export),
    "import": Verb("make a stored run of a network in a file", _import),
}
