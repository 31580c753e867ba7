"""What is registered: the entries of every kind by name, and the plugins that have been loaded."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from importlib.abc import InspectLoader
from pathlib import Path
from types import ModuleType

from groklab.registry.entries import HOMES, Entry
from groklab.registry.sources import is_same_plugin
from groklab.text.values import nearest, shown

#: several of a kind, as `groklab list` and the reference name them -> the kind
KINDS = {"losses" if kind == "loss" else f"{kind}s": kind for kind in HOMES}
PLURALS = {kind: several for several, kind in KINDS.items()}

PLUGIN_MODULE = "groklab_plugin_"
"""What the names of plugins' modules begin with; their hashes follow."""


def _no_entries() -> dict[str, dict[str, Entry]]:
    return {kind: {} for kind in HOMES}


@dataclass
class Known:
    """What this process knows by name."""

    entries: dict[str, dict[str, Entry]] = field(default_factory=_no_entries)
    """Kind -> name -> entry."""
    loaded: set[str] = field(default_factory=set[str])
    """Kinds whose built-in entries are there."""
    plugins: dict[str, tuple[bytes, list[Entry]]] = field(default_factory=dict[str, tuple[bytes, list[Entry]]])
    """Hash of a plugin -> its source as it was imported, and what it registered."""
    files: dict[Path, str] = field(default_factory=dict[Path, str])
    """File of a plugin -> hash of its newest version, in the order in which they were imported."""
    being_loaded: list[tuple[Path, str]] = field(default_factory=list[tuple[Path, str]])
    """Plugins whose files are being executed, the innermost last."""
    ordered: dict[str, dict[str, Entry]] = field(default_factory=dict[str, dict[str, Entry]])
    """Entries of kinds in the order of their names, as far as they have been asked for since the last change."""
    version: object = field(default_factory=object)
    """Another object after every change: what was computed from entries under one version need not be right under another."""

    def changed(self) -> None:
        """Forget what was computed from the entries."""
        self.ordered, self.version = {}, object()


KNOWN = Known()


def version() -> object:
    """An object that is another one whenever something has been registered, replaced or removed since."""
    return KNOWN.version


def put(entry: Entry) -> None:
    """Register an entry; ValueError where somebody else has its name."""
    present = KNOWN.entries[entry.kind].get(entry.name)
    if present is not None and not _is_reload(present, entry):
        taken = f"{entry.kind} {shown(entry.name)} is already registered by {present.plugin or present.function.__module__}"
        raise ValueError(f"{taken}; choose another name.")
    KNOWN.entries[entry.kind][entry.name] = entry
    KNOWN.changed()


def _is_reload(old: Entry, new: Entry) -> bool:
    """A module executed again (importlib.reload, a notebook cell) or edited (a plugin) may replace its own entry, but nobody else's."""
    if new.plugin is not None and old.plugin is not None:
        return is_same_plugin(new.plugin, old.plugin)
    whose = [(entry.function.__module__, entry.function.__qualname__) for entry in (old, new)]
    return whose[0] == whose[1]


def entries(kind: str) -> dict[str, Entry]:
    """All entries of a kind by name, the built-in ones loaded first; kinds are the keys of ``HOMES``."""
    if kind not in KNOWN.loaded:
        for home in HOMES[kind]:
            for module in _that_register(kind, home):
                importlib.import_module(module)
        KNOWN.loaded.add(kind)
        KNOWN.changed()
    if kind not in KNOWN.ordered:
        KNOWN.ordered[kind] = dict(sorted(KNOWN.entries[kind].items()))
    return dict(KNOWN.ordered[kind])


def _that_register(kind: str, home: str) -> Iterator[str]:
    """The modules of a package that register something of a kind; importing the others may need what is not installed, such as torch."""
    package = importlib.import_module(home)
    decorated = re.compile(rf"^@(?:registry\.)?{kind}\(", re.MULTILINE)
    for module in pkgutil.iter_modules(package.__path__, f"{home}."):
        spec = importlib.util.find_spec(module.name)
        loader = None if spec is None else spec.loader
        source = loader.get_source(module.name) if isinstance(loader, InspectLoader) else None
        if source is None or decorated.search(source):
            yield module.name


def from_scripts() -> list[Entry]:
    """Entries of a user's own script or module, which is neither a plugin nor a part of groklab: only processes that import it know them."""
    found = [entry for names in KNOWN.entries.values() for entry in names.values() if entry.plugin is None]
    return [entry for entry in found if entry.function.__module__.split(".")[0] != "groklab"]


def look_up(kind: str, name: str) -> Entry:
    """The entry of that kind and name; ValueError with the nearest names where there is none."""
    known = KNOWN.entries[kind] if kind in KNOWN.loaded else entries(kind)
    if name not in known:
        raise ValueError(f"unknown {kind} {shown(name)}. {nearest(name, sorted(known))} `groklab list {PLURALS[kind]}` shows all.")
    return known[name]


@contextlib.contextmanager
def isolated() -> Generator[None]:
    """A registry of one's own: what is registered or loaded inside is known inside alone, and afterwards everything is as it was before.

    For tests, notebooks and whoever looks at plugins; nests. The registry belongs to the process: no other thread may use it meanwhile.
    """
    for kind in HOMES:
        with contextlib.suppress(ImportError):  # of what that kind needs, such as torch
            entries(kind)
    before = {kind: dict(names) for kind, names in KNOWN.entries.items()}, set(KNOWN.loaded), dict(KNOWN.plugins), dict(KNOWN.files)
    modules = _plugin_modules()
    try:
        yield
    finally:
        KNOWN.entries, KNOWN.loaded, KNOWN.plugins, KNOWN.files = before
        KNOWN.changed()
        for name in _plugin_modules().keys() - modules:
            del sys.modules[name]
        sys.modules.update(modules)  # one that was forgotten and loaded again has another module, whose functions are not those registered


def _plugin_modules() -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if name.startswith(PLUGIN_MODULE)}
