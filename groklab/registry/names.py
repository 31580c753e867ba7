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
import inspect
import re
from collections.abc import Callable, Mapping
from typing import Any

from groklab.registry.calls import Call, parse_call
from groklab.registry.entries import Entry, Function
from groklab.registry.known import KNOWN, PLURALS, entries, look_up, put
from groklab.registry.signatures import by_name_only, wrong_settings
from groklab.registry.sources import is_built_in, source_hash_of
from groklab.registry.windows import window_problems
from groklab.text.values import nearest, shown


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
            plugin, source = KNOWN.being_loaded[-1] if KNOWN.being_loaded else (None, source_hash_of(function))
            with contextlib.suppress(ImportError):  # of what that kind needs, such as torch; whoever has none uses none of its names
                entries(kind)  # a clash with a built-in name is found now, not at the first look-up
        put(Entry(kind, name, function, facts, plugin, source))
        return function

    return decorate


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
