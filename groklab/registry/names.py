"""Names for functions: a decorator registers one, a call written as text selects one.

Every part of groklab that a researcher may want to extend is a plain function with a decorator:

    @operation(symbol="x + y (mod n)")
    def addition(x, y, n):
        \"\"\"Addition in the ring of n elements (Power et al. 2022).\"\"\"
        return (x + y) % n

From then on ``addition`` is a value of ``Run.task.operation``, of ``--operation``, a row of ``groklab list operations`` and
a case of the conformance tests. A name with settings is written as a call, ``"grokfast_ema(alpha=0.98)"`` or
``"product(cyclic(3), dihedral(4))"``; it is read from the syntax tree and never evaluated.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import pkgutil
import re
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from groklab.outside.files import read_regular
from groklab.registry.calls import Call, parse_call
from groklab.registry.entries import HOMES, Entry, Function
from groklab.registry.signatures import by_name_only, wrong_settings
from groklab.registry.sources import SOURCE_LIMIT, hash_of, is_built_in, is_same_plugin, source_hash_of
from groklab.registry.windows import window_problems
from groklab.text.values import nearest, shown

#: several of a kind, as `groklab list` and the reference name them -> the kind
KINDS = {"losses" if kind == "loss" else f"{kind}s": kind for kind in HOMES}
PLURALS = {kind: several for several, kind in KINDS.items()}

_entries: dict[str, dict[str, Entry]] = {kind: {} for kind in HOMES}
_loaded: set[str] = set()
_plugin_being_loaded: list[tuple[Path, str]] = []
#: hash of a plugin -> its source as it was imported, and what it registered
_plugins: dict[str, tuple[bytes, list[Entry]]] = {}
#: file of a plugin -> hash of its newest version, in the order in which they were imported
_files: dict[Path, str] = {}


def _register(kind: str, **facts: Any) -> Callable[[Function], Function]:
    def decorate(function: Function) -> Function:
        if not inspect.isfunction(function):
            raise TypeError(f"{kind}: got {shown(function)}; expected a function below the decorator.")
        name = str(facts.pop("name", None) or function.__name__)
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            raise ValueError(f"{kind} name {shown(name)} is not in snake_case.")
        if not (function.__doc__ or "").strip():
            raise ValueError(f"{kind} {shown(name)} has no docstring; its first sentence is shown by `groklab list {PLURALS[kind]}`.")
        plugin = source = None
        if not is_built_in(function):  # a plugin may import a part of groklab that nobody has imported before
            plugin, source = _plugin_being_loaded[-1] if _plugin_being_loaded else (None, source_hash_of(function))
            with contextlib.suppress(ImportError):  # of what that kind needs, such as torch; whoever has none uses none of its names
                entries(kind)  # a clash with a built-in name is found now, not at the first look-up
        _put(Entry(kind, name, function, facts, plugin, source))
        return function

    return decorate


def _put(entry: Entry) -> None:
    present = _entries[entry.kind].get(entry.name)
    if present is not None and not _is_reload(present, entry):
        taken = f"{entry.kind} {shown(entry.name)} is already registered by {present.plugin or present.function.__module__}"
        raise ValueError(f"{taken}; choose another name.")
    _entries[entry.kind][entry.name] = entry


def _is_reload(old: Entry, new: Entry) -> bool:
    """A module executed again (importlib.reload, a notebook cell) or edited (a plugin) may replace its own entry, but nobody else's."""
    if new.plugin is not None and old.plugin is not None:
        return is_same_plugin(new.plugin, old.plugin)
    whose = [(entry.function.__module__, entry.function.__qualname__) for entry in (old, new)]
    return whose[0] == whose[1]


_OVER = ("modulus", "group", "fixed group", "file")


@by_name_only
def operation(
    *,
    symbol: str | None = None,
    over: str = "modulus",
    on: str | None = None,
    domain: Function | None = None,
    requires: Function | None = None,
    commutative: bool | None = None,
    group: bool | None = None,
    same_as: tuple[str, str] | None = None,
    check: Function | None = None,
    reader_of: Function | None = None,
    not_settings: tuple[str, ...] = (),
    name: str | None = None,
) -> Callable[[Function], Function]:
    """Register ``(x, y, n) -> z`` on integer arrays, or ``(x, y, group) -> z`` with ``over="group"``.

    ``symbol`` (as it is written), ``domain`` ((x, y, n) -> bool array), ``requires`` (n -> None or True where n will do, else
    False, what was expected, or that and advice), ``commutative`` and ``group`` (declared properties, verified by the tests),
    ``on`` (the group of ``over="fixed group"``), ``same_as`` (another name's operation and group), ``reader_of`` (content of a
    file -> version of its reader). ValueError where ``over`` is none of these, or the function has settings, which an operation has none of.
    """
    if over not in _OVER:
        raise ValueError(f"operation: got over={shown(over)}; expected one of {', '.join(_OVER)}.")
    given = {"symbol": symbol, "over": over, "on": on, "domain": domain, "requires": requires, "commutative": commutative, "group": group}
    given |= {"same_as": same_as, "check": check, "reader_of": reader_of, "not_settings": not_settings or None, "name": name}
    register = _register("operation", **{fact: value for fact, value in given.items() if value is not None})

    def decorate(function: Function) -> Function:
        own = [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY and p.name not in not_settings]
        if own:
            raise ValueError(
                f"operation {shown(name or function.__name__)}: got the setting {shown(own[0])}; expected a function of x, y and n (or the group) "
                "alone, for an operation is named without settings. Register a function for each value."
            )
        return register(function)

    return decorate


@by_name_only
def group(**facts: Any) -> Callable[[Function], Function]:
    """Register a constructor of finite groups; ``order=`` gives the order without building it."""
    return _register("group", **facts)


@by_name_only
def architecture(**facts: Any) -> Callable[[Function], Function]:
    """Register a network: ``(run, n) -> Layout``, its passes among the facts; ``activations``: they go through the pass's ``see`` (see model/mlp.py for more)."""
    return _register("architecture", **facts)


@by_name_only
def loss(**facts: Any) -> Callable[[Function], Function]:
    """Register ``(logits, answers) -> loss`` per example, in nats."""
    return _register("loss", **facts)


@by_name_only
def optimizer(**facts: Any) -> Callable[[Function], Function]:
    """Register the direction of an update: ``(gradient, parameters, state, moment, settings) -> direction``."""
    return _register("optimizer", **facts)


@by_name_only
def schedule(**facts: Any) -> Callable[[Function], Function]:
    """Register a learning-rate factor as a function of the step."""
    return _register("schedule", **facts)


@by_name_only
def intervention(**facts: Any) -> Callable[[Function], Function]:
    """Register a change to training at one point: ``at="forward" | "activations" | "gradient" | "update" | "weights"``.

    The function is ``(value, *, settings) -> value`` or ``(value, memory, *, settings) -> (value, memory)``; a keyword ``moment``
    is given what it may know, and every intervention also takes the settings ``start`` and ``stop`` (see training/interventions.py).
    """
    points = ("forward", "activations", "gradient", "update", "weights")
    if facts.get("at") not in points:
        raise ValueError(f"intervention: got at={shown(facts.get('at'))}; expected one of {', '.join(points)}.")
    own_check = facts.pop("check", None)

    def check(settings: Mapping[str, Any], **context: Any) -> list[str]:
        return window_problems(settings) + (list(own_check(settings, **context)) if own_check is not None else [])

    more = {"start": 0, "stop": None}
    return _register("intervention", check=check, not_settings=("moment", "name"), more_settings=more, **facts)


@by_name_only
def stop(**facts: Any) -> Callable[[Function], Function]:
    """Register a rule ``(history, threshold) -> step | None``: the evaluated step at which training may end."""
    return _register("stop", **facts)


@by_name_only
def measure(**facts: Any) -> Callable[[Function], Function]:
    """Register ``(parameters, task) -> number or named numbers`` of one run, or named arrays with ``arrays=True``.

    ``needs_initial=True``: of ``task.initial`` too, so that it does not apply to networks of which nobody knows how they began.
    """
    return _register("measure", **facts)


@by_name_only
def figure(**facts: Any) -> Callable[[Function], Function]:
    """Register ``(table, …) -> matplotlib Figure``; ``needs`` names the columns, ``takes`` the kind of table, ``results`` and ``measures`` more of runs' ends."""
    return _register("figure", **facts)


@by_name_only
def preset(**facts: Any) -> Callable[[Function], Function]:
    """Register a function without arguments that returns a named, cited ``Run``."""
    return _register("preset", **facts)


@by_name_only
def experiment(**facts: Any) -> Callable[[Function], Function]:
    """Register a function that returns the runs of a published figure."""
    return _register("experiment", **facts)


@by_name_only
def claim(
    *,
    id: str,
    paper: str,
    place: str,
    experiment: str | None,
    published: str,
    runs: Callable[[Any], bool] = bool,
    expects: Callable[[Any], Mapping[str, Any]] | None = None,
    apart: bool = False,
    **facts: Any,
) -> Callable[[Function], Function]:
    """Register a sentence of a paper with the function that decides it: results table -> ``analysis.claims.Judgment``.

    ``id`` as it is cited (C8), ``paper`` and ``place`` in it, ``experiment`` whose results decide it (None: arithmetic, and the function takes
    nothing), ``published`` the paper's own value in few words, ``runs`` which of the experiment's runs it rests on (all unless given: what is
    trained first, and what deciding costs), ``expects`` what a run gives if the sentence is right (``claims/expectations.py``), ``apart``: shown in
    a block of its own, outside the summary. The docstring is the sentence and, after an empty line, the rule.
    """
    given = {"id": id, "paper": paper, "place": place, "experiment": experiment, "published": published}
    return _register("claim", **given, runs=runs, expects=expects, apart=apart, **{"source": paper} | facts)


def entries(kind: str) -> dict[str, Entry]:
    """All entries of a kind by name, the built-in ones loaded first; kinds are the keys of ``HOMES``."""
    if kind not in _loaded:
        for home in HOMES[kind]:
            package = importlib.import_module(home)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{home}.{module.name}")
        _loaded.add(kind)
    return dict(sorted(_entries[kind].items()))


def from_scripts() -> list[Entry]:
    """Entries of a user's own script or module, which is neither a plugin nor a part of groklab: only processes that import it know them."""
    found = [entry for names in _entries.values() for entry in names.values() if entry.plugin is None]
    return [entry for entry in found if entry.function.__module__.split(".")[0] != "groklab"]


def look_up(kind: str, name: str) -> Entry:
    """The entry of that kind and name; ValueError with the nearest names where there is none."""
    known = _entries[kind] if kind in _loaded else entries(kind)
    if name not in known:
        raise ValueError(f"unknown {kind} {shown(name)}. {nearest(name, sorted(known))} `groklab list {PLURALS[kind]}` shows all.")
    return known[name]


def settings_of(kind: str, text: str) -> dict[str, Any]:
    """Settings of a call by name, with the defaults of those that it leaves out."""
    call = parse_call(text)
    return look_up(kind, call.name).settings | dict(call.settings)


def canonical_call(kind: str, text: str) -> str:
    """The one way to write a call for its hash: settings sorted, defaults left out, plugins marked by their source.

    >>> canonical_call("optimizer", "adamw( )")
    'adamw'
    """
    return str(_canonical(kind, parse_call(text)))


def _canonical(kind: str, call: Call) -> Call:
    entry = look_up(kind, call.name)
    defaults = entry.settings
    settings = tuple((k, _like(defaults.get(k), v)) for k, v in call.settings if not (k in defaults and _same(defaults[k], v)))
    arguments = tuple(_canonical(kind, a) if isinstance(a, Call) else a for a in call.arguments)
    return Call(call.name if entry.source_hash is None else f"{call.name}@{entry.source_hash}", arguments, settings)


def _same(default: Any, value: Any) -> bool:
    return isinstance(default, bool) == isinstance(value, bool) and default == value


def call_problems(kind: str, text: str, **context: Any) -> list[object]:
    """What is wrong with a call of this kind: unknown name, unknown or missing settings, and what its own check says.

    A registered function's check is called with the settings it would get and whatever ``context`` its kind provides. It answers with
    sentences, which are given back behind its name, or with what says itself of which field it is.
    """
    try:
        call = parse_call(text)
        entry = look_up(kind, call.name)
    except ValueError as error:
        return [str(error)]
    if kind == "group":
        return list(entry.facts["check"](call)) if "check" in entry.facts else []
    problems: list[object] = []
    known = entry.settings
    if call.arguments:
        problems.append(f"{call.name}: got {shown(call.arguments[0])} without a name; expected settings by name, as in setting=1.")
    for setting in dict(call.settings):
        if setting not in known:
            hint = nearest(setting, list(known)) if known else "It has none."
            problems.append(f"{call.name}: unknown setting {shown(setting)}. {hint}")
    missing = [k for k, v in known.items() if v is inspect.Parameter.empty and k not in dict(call.settings)]
    problems += [f"{call.name}: setting {shown(setting)} must be given." for setting in missing]
    check = entry.facts.get("check")
    if check is None and not problems:
        problems += [f"{call.name}: {problem}" for problem in wrong_settings(entry.function, dict(call.settings))]
    if check is not None and not problems:
        found = check({**known, **dict(call.settings)}, **context)
        problems += [f"{call.name}: {problem}" if isinstance(problem, str) else problem for problem in found]
    return problems


def _like(default: Any, value: Any) -> Any:
    """2 where the default is 1.0 means 2.0: both ways of writing give one id."""
    return float(value) if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool) else value


# — plugins —


def load_plugins(files: str | Path | Sequence[str | Path]) -> list[Path]:
    """Import a user's files, or one; where they are."""
    return [load_plugin(file) for file in ([files] if isinstance(files, (str, Path)) else files)]


def load_plugin(file: str | Path) -> Path:
    """Import a user's file so that what it registers can be named; the same content is imported once.

    Another version of a file takes the place of the one before. ValueError where the file is missing or fails, with its own message.
    """
    try:
        path = Path(file).resolve()
        source = read_regular(path, SOURCE_LIMIT)
    except (OSError, RuntimeError, ValueError) as error:
        reason = "No such file" if isinstance(error, FileNotFoundError) else getattr(error, "strerror", None) or error
        reason = "Its name holds a zero byte" if "\0" in str(file) else reason
        raise ValueError(f"plugin: got {shown(str(file))}; expected a Python file. {reason}.") from None
    return load_source(path, source)


def load_source(path: Path, source: bytes) -> Path:
    """Import the content of a file as ``load_plugin`` does, whatever the file holds by now."""
    content = hash_of(source)
    before = {kind: dict(names) for kind, names in _entries.items()}
    try:
        for names in _entries.values():  # what the file registered before an edit is its own to give up
            for name in [name for name, entry in names.items() if entry.plugin == path]:
                del names[name]
        if content in _plugins:
            for entry in _plugins[content][1]:
                _put(entry)
        else:
            _execute(path, source, content)
            _plugins[content] = source, [entry for names in _entries.values() for entry in names.values() if entry.source_hash == content]
    except (Exception, SystemExit) as error:
        for kind, names in before.items():
            _entries[kind] = {name: entry for name, entry in _entries[kind].items() if entry.plugin is None} | names
        told = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ValueError(f"plugin {path.name}: {told.removesuffix('.')}. Nothing of it was registered.") from error
    _files.pop(path, None)
    _files[path] = content
    return path


def _execute(path: Path, source: bytes, content: str) -> None:
    module = types.ModuleType(f"groklab_plugin_{content}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    _plugin_being_loaded.append((path, content))
    try:
        exec(compile(source, path, "exec"), module.__dict__)  # not by an importer, whose cache may hold the version of a second ago
    except BaseException:
        del sys.modules[module.__name__]
        raise
    finally:
        _plugin_being_loaded.pop()


def is_loaded(source_hash: str) -> bool:
    """Whether the plugin of that hash has been imported."""
    return source_hash in _plugins


def plugins() -> list[tuple[Path, bytes]]:
    """The plugins that have been imported, each with its source, in the order in which other processes may import them."""
    return [(path, plugin_source(content)) for path, content in _files.items() if is_loaded(content)]


def plugin_source(source_hash: str) -> bytes:
    """The plugin of that hash as it was imported, whatever has become of its file."""
    return _plugins[source_hash][0]
