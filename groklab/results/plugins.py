"""The copies of plugins that runs keep: code that came with the results, which is executed only where somebody says so.

A copy is named ``STEM-HASH.py``, lies in the run's folder ``plugins``, and is the plugin whose source has that hash. A plugin that this
process has loaded already, because the user gave it, needs nobody's word, and nothing of it is executed a second time.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from groklab import registry
from groklab.config.run import Run
from groklab.outside.files import UnreadableError, read_regular
from groklab.registry.sources import SOURCE_LIMIT, hash_of, plugin_stem
from groklab.results.files import DamagedError, StoreError, make_part, unreadable, write_whole
from groklab.text.values import shown

_MOST = 100
_NAME = re.compile(r"[^./\\\0][^/\\\0]{0,200}-([0-9a-f]{16})\.py")


class StoredPlugin(NamedTuple):
    """A copy of a plugin in a run's folder."""

    path: Path
    hash: str
    """Of its source, as its name says."""


Trust = bool | Callable[[Sequence[StoredPlugin]], bool]
"""Whether code that lies with results may be executed: an answer, or whom to ask about these files."""


class UntrustedError(ValueError):
    """Code lies with stored results, and nobody has said that it may be executed."""


def stored_plugins(folder: Path, names: Sequence[object]) -> list[StoredPlugin]:
    """The copies that a run.json names; DamagedError where a name is anything but that of a copy, so that it could lead elsewhere."""
    if len(names) > _MOST:
        raise _damaged(folder, f"it names {len(names):,} plugins; a run has at most {_MOST}")
    found: list[StoredPlugin] = []
    for name in names:
        match = _NAME.fullmatch(name) if isinstance(name, str) and name.isprintable() else None
        if match is None:
            raise _damaged(folder, f"it names the plugin {shown(name)}; expected the name of a copy, such as my_lab-0123456789abcdef.py")
        found.append(StoredPlugin(folder / "plugins" / match[0], match[1]))
    return found


def load_stored(folder: Path, names: Sequence[object], trust: Trust) -> None:
    """Have what a run's plugins register known here, executing those that this process has not loaded if they are trusted.

    Before anything is executed or asked for, every copy is a plain file in the run's folder, and its hash is that of its name: otherwise
    DamagedError. UntrustedError where it may not be executed, StoreError where it cannot be read or fails.
    """
    found = stored_plugins(folder, names)
    new = {plugin: _source(plugin) for plugin in found if not registry.is_loaded(plugin.hash)}
    if new and not (trust if isinstance(trust, bool) else trust(list(new))):
        files = ", ".join(str(plugin.path) for plugin in new)
        raise UntrustedError(
            f"{folder.name} was trained with code of its own that lies with the results: {files}. Nothing was executed. Look at it, and where "
            "you trust it say --trust-plugins (in Python trust_plugins=True), or give your own file of the same content with --plugin FILE.py."
        )
    for plugin in found:
        try:
            registry.load_source(plugin.path, new[plugin] if plugin in new else registry.plugin_source(plugin.hash))
        except ValueError as error:
            raise StoreError(f"{folder.name} was trained with a plugin that cannot be loaded again: {error}") from error


def restore_known(folder: Path, names: Iterable[object]) -> None:
    """Have the versions of a run's plugins known that this process has loaded, in the place of later ones; nothing is read or executed."""
    matches = (_NAME.fullmatch(name) for name in names if isinstance(name, str))
    for match in matches:
        if match is not None and registry.is_loaded(match[1]):
            registry.load_source(folder / "plugins" / match[0], registry.plugin_source(match[1]))


def check_known(run: Run, run_id: str, names: Sequence[object]) -> None:
    """ValueError where a run's table or network is of a plugin that is not loaded here, or is loaded in another version."""
    if not names and not registry.plugins():
        return  # nothing here is of a plugin, and architectures are not looked up: their files import torch
    hashes = {match[1] for name in names if isinstance(name, str) and (match := _NAME.fullmatch(name))}
    for kind, name in _named(run):
        if kind not in ("operation", "architecture", "group"):
            continue
        try:
            entry = registry.entries(kind).get(name)
        except ModuleNotFoundError:  # torch, without which nothing computes a network
            continue
        is_other = entry is not None and entry.plugin is not None and entry.source_hash not in hashes
        if is_other or (entry is None and names):
            what = "is of another version of its plugin" if is_other else "is of a plugin, whose code is not executed to read results"
            raise UntrustedError(
                f"{run_id}: its {kind} {shown(name)} {what}. Where you trust it, give the file in {run_id}/plugins with --plugin (in Python "
                "load the run with trust_plugins=True)."
            )


def keep_plugins(folder: Path, run: Run) -> list[str]:
    """Copy the plugins that a run uses into its folder; the names of the copies."""
    names: list[str] = []
    for path, source in _plugins_of(run):
        make_part(folder / "plugins")
        names.append(f"{plugin_stem(path)}-{source}.py")
        write_whole(folder / "plugins" / names[-1], registry.plugin_source(source))
    return names


def _source(plugin: StoredPlugin) -> bytes:
    """The source of a copy, which is a plain file and no link, in a folder that is none either, and has the hash of its name."""
    folder = plugin.path.parent.parent
    try:
        if not stat.S_ISDIR(os.lstat(plugin.path.parent).st_mode) or not stat.S_ISREG(os.lstat(plugin.path).st_mode):
            raise UnreadableError(0, "it is a link or no plain file", str(plugin.path))
        source = read_regular(plugin.path, SOURCE_LIMIT)
    except FileNotFoundError:
        raise StoreError(f"{folder.name} was trained with a plugin whose copy is missing: {plugin.path}.") from None
    except OSError as error:
        raise unreadable(plugin.path, error) from error
    if hash_of(source) != plugin.hash:
        raise _damaged(folder, f"the hash of plugins/{plugin.path.name} is {hash_of(source)}: the copy was changed")
    return source


def _damaged(folder: Path, what: str) -> DamagedError:
    return DamagedError(f"{folder / 'run.json'} is damaged: {what}. Nothing was executed. Restore it from a copy, or train the run again.")


def _plugins_of(run: Run) -> list[tuple[Path, str]]:
    """Files of the plugins that a run names, each with the hash of its source."""
    entries = (registry.look_up(kind, name) for kind, name in _named(run))
    return sorted({(entry.plugin, entry.source_hash or "") for entry in entries if entry.plugin is not None})


def _named(run: Run) -> Iterator[tuple[str, str]]:
    """Kind and name of everything registered that a run names."""
    training = run.training
    named: Sequence[tuple[str, str]] = [
        ("operation", run.task.operation),
        ("architecture", run.model.architecture),
        ("optimizer", training.optimizer),
        ("schedule", training.schedule),
        ("loss", training.loss),
        ("stop", run.budget.stop),
        *(("intervention", text) for text in training.interventions),
        *(("measure", text) for text in run.budget.measures),
    ]
    for kind, text in named:
        yield kind, registry.parse_call(text).name
    if run.task.group is not None:
        yield from (("group", name) for name in _names_in(registry.parse_call(run.task.group)))


def _names_in(call: registry.Call) -> Iterator[str]:
    yield call.name
    for argument in call.arguments:
        if isinstance(argument, registry.Call):
            yield from _names_in(argument)
