"""Files of users that register parts of their own: loaded once for each content, replaced when they are edited, kept as they were executed."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from pathlib import Path

from groklab.outside.files import read_regular
from groklab.registry.known import KNOWN, PLUGIN_MODULE, put
from groklab.registry.sources import SOURCE_LIMIT, hash_of
from groklab.text.values import shown


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
    before = {kind: dict(names) for kind, names in KNOWN.entries.items()}
    try:
        for names in KNOWN.entries.values():  # what the file registered before an edit is its own to give up
            for name in [name for name, entry in names.items() if entry.plugin == path]:
                del names[name]
        KNOWN.changed()
        if content in KNOWN.plugins:
            for entry in KNOWN.plugins[content][1]:
                put(entry)
        else:
            _execute(path, source, content)
            KNOWN.plugins[content] = (
                source,
                [entry for names in KNOWN.entries.values() for entry in names.values() if entry.source_hash == content],
            )
    except (Exception, SystemExit) as error:
        for kind, names in before.items():
            KNOWN.entries[kind] = {name: entry for name, entry in KNOWN.entries[kind].items() if entry.plugin is None} | names
        KNOWN.changed()
        told = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ValueError(f"plugin {path.name}: {told.removesuffix('.')}. Nothing of it was registered.") from error
    KNOWN.files.pop(path, None)
    KNOWN.files[path] = content
    return path


def _execute(path: Path, source: bytes, content: str) -> None:
    module = types.ModuleType(f"{PLUGIN_MODULE}{content}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    KNOWN.being_loaded.append((path, content))
    try:
        exec(compile(source, path, "exec"), module.__dict__)  # not by an importer, whose cache may hold the version of a second ago
    except BaseException:
        del sys.modules[module.__name__]
        raise
    finally:
        KNOWN.being_loaded.pop()


def forget_plugins() -> None:
    """Know nothing of plugins any more, as a process that has loaded none."""
    for kind, names in KNOWN.entries.items():
        KNOWN.entries[kind] = {name: entry for name, entry in names.items() if entry.plugin is None}
    KNOWN.plugins.clear()
    KNOWN.files.clear()
    KNOWN.changed()


def is_loaded(source_hash: str) -> bool:
    """Whether the plugin of that hash has been imported."""
    return source_hash in KNOWN.plugins


def plugins() -> list[tuple[Path, bytes]]:
    """The plugins that have been imported, each with its source, in the order in which other processes may import them."""
    return [(path, plugin_source(content)) for path, content in KNOWN.files.items() if is_loaded(content)]


def plugin_source(source_hash: str) -> bytes:
    """The plugin of that hash as it was imported, whatever has become of its file."""
    return KNOWN.plugins[source_hash][0]
