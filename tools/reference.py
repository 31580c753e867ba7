"""The reference of the documentation, from the registries, the argument dataclasses and the docstrings.

python -m tools.reference            write docs/reference/
python -m tools.reference --check    exit with status 1 where a page is not what it would be
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import tyro

import groklab
from groklab import cli, registry
from groklab.config.fields import GROUPS
from groklab.config.run import Run

FOLDER = Path(__file__).parent.parent / "docs" / "reference"

KINDS = {
    "operation": 'What is to be learned: `--operation NAME`, `operation="NAME"`.',
    "group": 'Finite groups, as arguments of the group operations: `--group "symmetric(4)"`.',
    "architecture": "Networks: `--architecture NAME`.",
    "optimizer": 'The direction of an update: `--optimizer "NAME(setting=value)"`.',
    "schedule": "A factor on the learning rate: `--schedule NAME`.",
    "loss": "What is minimized: `--loss NAME`.",
    "intervention": 'Changes to training, any number of them: `--interventions "NAME(setting=value)" …`; each also takes the steps `start` and `stop`.',
    "stop": "When a run may end before its budget: `--stop NAME`.",
    "measure": "What can be known of a network: `--measures NAME …` while it is trained, `groklab measure NAME RUN` afterwards.",
    "figure": 'Pictures: `groklab figure NAME RUN …`, `run.plot("NAME")`.',
    "preset": "Named recipes: `groklab train --preset NAME`.",
    "experiment": "The runs of published figures: `groklab replicate NAME`.",
    "claim": "Sentences of papers, judged by `groklab replicate` and shown in its report.",
}


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {"command-line.md": command_line(), "names.md": names(), "fields.md": fields(), "python.md": python()}


# — the command line —


class _AskedError(Exception):
    """Raised in place of parsing, with the dataclass of the verb."""


def arguments_of(verb: str) -> type[Any]:
    """The dataclass that a verb parses its flags into."""

    def asked(kind: type[Any], *given: Any, **options: Any) -> Any:
        raise _AskedError(kind)

    with mock.patch("groklab.arguments.parsing.checked_words", asked):  # which every verb asks first
        try:
            cli.VERBS[verb].does([])
        except _AskedError as error:
            return error.args[0]
    raise AssertionError(f"{verb} does not parse its flags with groklab.arguments.parsing.parse")


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag of a verb."""

    written: str
    default: str
    words: str


def flags(kind: type[Any]) -> Iterator[Flag]:
    """The flags of a dataclass in its order, those of nested ones in their place."""
    words, hints = _field_words(kind), typing.get_type_hints(kind, include_extras=True)
    for one in dataclasses.fields(kind):
        hint, markers = _unwrapped(hints[one.name])
        inner = next((part for part in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(part)), None)
        if inner is not None:
            yield from flags(typing.cast(type[Any], inner))
            continue
        told = next((marker.help for marker in markers if getattr(marker, "help", None)), None) or words.get(one.name, "")
        metavar = next((marker.metavar for marker in markers if getattr(marker, "metavar", None)), None) or _placeholder(hint)
        is_positional = tyro.conf.Positional in markers
        if is_positional:
            written = metavar if "…" in metavar or typing.get_origin(hint) is not tuple else f"{metavar} …"
        elif hint is bool:
            flag = one.name.replace("_", "-")
            written = f"--{flag}" if tyro.conf.FlagCreatePairsOff in markers else f"--{flag}, --no-{flag}"
        else:
            several = typing.get_origin(hint) is tuple and "…" not in metavar and len(metavar.split()) == 1
            written = f"--{one.name.replace('_', '-')} {metavar}{' …' if several else ''}"
        yield Flag(written, "" if is_positional else _default(one), told)


def _name(written: str) -> str:
    return re.split(r"[ ,]", written)[0]


def _unwrapped(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    markers: tuple[Any, ...] = ()
    while hasattr(hint, "__metadata__"):
        markers, hint = (*markers, *hint.__metadata__), hint.__origin__
    return hint, markers


def _placeholder(hint: Any) -> str:
    origin, inner = typing.get_origin(hint), [part for part in typing.get_args(hint) if part not in (type(None), ...)]
    if origin is typing.Literal:
        return "|".join(map(str, inner))
    if origin in (typing.Union, types.UnionType):
        return "|".join(_placeholder(part) for part in inner)
    if origin is tuple:
        return " ".join(_placeholder(part) for part in inner) if ... not in typing.get_args(hint) else _placeholder(inner[0])
    return {int: "N", float: "X", str: "NAME", Path: "PATH", bool: "true|false"}.get(hint, "VALUE")


def _default(one: dataclasses.Field[Any]) -> str:
    value = one.default if one.default_factory is dataclasses.MISSING else one.default_factory()
    if value is dataclasses.MISSING or value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "on" if value else "off"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _field_words(kind: type[Any]) -> dict[str, str]:
    """What stands under every field in the source of a dataclass and of those that it is made from."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__[:-1]):
        module = sys.modules.get(part.__module__)
        if module is None or module.__name__ == "types":
            continue
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.ClassDef) and node.name == part.__name__:
                for one, below in itertools.pairwise(node.body):
                    if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(below, ast.Expr):
                        found[one.target.id] = str(ast.literal_eval(below.value))
    return found


def command_line() -> str:
    """The page of all verbs."""
    common = "Every verb takes `--runs DIR` (default `runs`) and, where it reports, `--json`: one JSON object on standard output and nothing else."
    out = ["# The command line", _made("`groklab VERB --help` prints the same."), common]
    out.append(
        "RUN is an id, a unique prefix of one, a path, or `latest`. Exit status: 0, 2 for wrong input, 1 for a failure while working, 130 after "
        "Ctrl-C. The last of a repeated flag wins, but for `--plugin`."
    )
    run_flags = [flag.written for flag in flags(Run)]
    for verb, (what, _) in cli.VERBS.items():
        kind = arguments_of(verb)
        out += [f"## groklab {verb}", f"{_sentence(what)}", _prose(inspect.getdoc(kind) or "")]
        of_verb = [flag for flag in flags(kind) if flag.written not in ("--runs PATH", "--json")]
        of_run = [flag for flag in of_verb if _name(flag.written) in {_name(written) for written in run_flags}]
        if len(of_run) > 20:
            one = any(flag.written in run_flags for flag in of_run[:3])
            several = "" if one else " Here each takes several values." if verb == "sweep" else ""
            out.append(f"[Fields of a run](fields.md) are flags: `{_name(of_run[0].written)}` … `{_name(of_run[-1].written)}`.{several}")
            of_verb = [flag for flag in of_verb if flag not in of_run]
        out.append(_table(("flag", "default", ""), [(f"`{flag.written}`", _code(flag.default), _plain(flag.words)) for flag in of_verb]))
    return _joined(out)


# — names —


def names() -> str:
    """The page of everything that is registered."""
    out = ["# Names", _made("`groklab list KIND` prints the same, with what your plugins add.")]
    for kind in registry.HOMES:
        found = registry.entries(kind)
        own = {name: entry for name, entry in found.items() if entry.plugin is None and entry.function.__module__.startswith("groklab.")}
        out += [f"## {registry.PLURALS[kind].capitalize()}", KINDS[kind]]
        rows = [(f"`{name}`", _settings(entry), _told(entry)) for name, entry in own.items()]
        out.append(_table(("name", "settings", ""), rows))
    return _joined(out)


def _told(entry: registry.Entry) -> str:
    symbol = entry.facts.get("symbol")
    told = f"{_plain(entry.description)}{'' if symbol is None else f' `{symbol}`'}"
    source = entry.facts.get("source")
    return f"{told} *{source}*" if source else told


def _settings(entry: registry.Entry) -> str:
    common = ("start", "stop") if entry.kind == "intervention" else ()
    settings = {name: value for name, value in entry.settings.items() if name not in common}
    return _code(", ".join(name if value is inspect.Parameter.empty else f"{name}={value!r}" for name, value in settings.items()))


# — fields —


def fields() -> str:
    """The page of the fields of a run."""
    about = "The same word is the keyword in Python (`gl.train(train_fraction=0.4)`), the flag on the command line (`--train-fraction 0.4`), and the key in `run.json`."
    out = ["# Fields of a run", _made(""), about]
    out.append("A run's id depends on all of them but those of the budget, each that differs from its default.")
    hints = typing.get_type_hints(Run)
    for group in GROUPS:
        out += [f"## {group.capitalize()}", _prose(inspect.getdoc(hints[group]) or "")]
        out.append(
            _table(
                ("flag", "default", ""), [(f"`{flag.written}`", _code(flag.default), _plain(flag.words)) for flag in flags(hints[group])]
            )
        )
    return _joined(out)


# — Python —


def python() -> str:
    """The page of the public names of the package."""
    out = ["# Python", _made("`help(gl.NAME)` prints the same."), "`import groklab as gl`; what `groklab` exports is what is stable."]
    for name in groklab.__all__:
        value = getattr(groklab, name)
        if inspect.isclass(value):
            out += [f"## gl.{name}", _prose(inspect.getdoc(value) or "")]
            members = [(member, part) for member, part in _members(value).items() if not member.startswith("_") and _is_told(part)]
            out.append(_table(("member", ""), [(f"`{member}{_call(part)}`", _first(_doc(part))) for member, part in members]))
        else:
            out += [f"## gl.{name}", f"```text\ngl.{name}{_signature(value)}\n```", _prose(inspect.getdoc(value) or "")]
    return _joined(out)


def _members(kind: type) -> dict[str, Any]:
    """What a class defines, what it inherits from classes of groklab first."""
    ours = [base for base in reversed(kind.__mro__) if base.__module__.startswith("groklab.")]
    return {name: part for base in ours for name, part in vars(base).items()}


def _is_told(part: Any) -> bool:
    return bool(_doc(part)) and (callable(part) or isinstance(part, (property, classmethod)) or hasattr(part, "func"))


def _doc(part: Any) -> str:
    return inspect.getdoc(getattr(part, "func", getattr(part, "__func__", part))) or ""


def _call(part: Any) -> str:
    function = getattr(part, "__func__", part)
    if not inspect.isfunction(function):
        return ""
    parameters = [p for name, p in inspect.signature(function).parameters.items() if name not in ("self", "cls")]
    return "(" + ", ".join(str(p.replace(annotation=inspect.Parameter.empty)) for p in parameters) + ")"


def _signature(function: Any) -> str:
    parts = [str(p) for p in inspect.signature(function).parameters.values()]
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    if inspect.Parameter.KEYWORD_ONLY in kinds and inspect.Parameter.VAR_POSITIONAL not in kinds:
        parts.insert(kinds.index(inspect.Parameter.KEYWORD_ONLY), "*")
    if inspect.Parameter.POSITIONAL_ONLY in kinds:
        parts.insert(kinds.index(inspect.Parameter.POSITIONAL_ONLY) + kinds.count(inspect.Parameter.POSITIONAL_ONLY), "/")
    inside = ", ".join(parts)
    return f"({inside})" if len(inside) < 80 else "(\n    " + ",\n    ".join(parts) + ",\n)"


# — Markdown —


def _made(more: str) -> str:
    return f"*Made from the code by `make reference`.* {more}".strip()


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [[_cell(cell) for cell in row] for row in rows]
    if not lines:
        return "*None.*"
    columns = list(head)
    return "\n".join(["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns), *("| " + " | ".join(line) + " |" for line in lines)])


def _plain(text: str) -> str:
    """Words in which a star is a star."""
    return re.sub(r"`[^`]*`|\*", lambda found: found[0] if found[0] != "*" else "\\*", text)


def _cell(text: str) -> str:
    return " ".join(text.replace("``", "`").split()).replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _first(text: str) -> str:
    return text.split("\n\n")[0]


def _prose(text: str) -> str:
    """A docstring as Markdown: double backticks single, indented blocks as code."""
    paragraphs = re.split(r"\n\s*\n", text.replace("``", "`"))
    blocks = ["```text\n" + inspect.cleandoc(part.strip("\n")) + "\n```" if part.startswith("    ") else part for part in paragraphs]
    return "\n\n".join(block.replace("<", "&lt;") if not block.startswith("```") and "`" not in block else block for block in blocks)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text.endswith(("…", ".")) else ".")


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(block for block in blocks if block) + "\n"


def main(given: list[str]) -> int:
    """Write the pages, or compare them."""
    stale = [name for name, text in pages().items() if not (FOLDER / name).exists() or (FOLDER / name).read_text(encoding="utf-8") != text]
    if given == ["--check"]:
        for name in stale:
            print(f"docs/reference/{name} is not what the code says; `make reference` writes it.", file=sys.stderr)
        return 1 if stale else 0
    if given:
        raise SystemExit(f"got {' '.join(given)}; expected --check or nothing")
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (FOLDER / name).write_text(pages()[name], encoding="utf-8")
        print(f"docs/reference/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
