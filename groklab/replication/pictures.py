"""Pictures of a replication, drawn only when what they are drawn from has changed.

``pictures.json`` says of every picture from what it was drawn: a hash of its table, of its figure with settings, and of the code that draws;
and the hash of the picture itself, so that one which was changed or damaged is drawn again. Without the file everything is drawn.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from groklab import registry
from groklab.outside.files import parsed_json, read_regular
from groklab.results.files import REPORT_LIMIT, write_whole

if TYPE_CHECKING:
    import polars

_PACKAGE = Path(__file__).parents[1]
_DRAWING = ("figures", "analysis", "text")
"""Rooms whose code a picture depends on."""


@dataclass
class Pictures:
    """The pictures of a folder, and from what each was drawn."""

    path: Path
    known: dict[str, list[str]] = field(default_factory=lambda: dict[str, list[str]]())
    """Name of a picture -> the hash of what it was drawn from, and its own."""

    @classmethod
    def kept_in(cls, path: Path) -> Pictures:
        """Those of a file; an unreadable one is as good as none, since everything can be drawn again."""
        try:
            content = parsed_json(read_regular(path, REPORT_LIMIT))
        except (OSError, ValueError):
            content = {}
        found = content.items() if isinstance(content, dict) else ()
        return cls(path, {str(name): [str(part) for part in pair] for name, pair in found if isinstance(pair, list) and len(pair) == 2})

    def draw(self, figure: str, table: polars.DataFrame, picture: Path, drawing: Callable[[], None]) -> None:
        """Have ``drawing`` make a picture of a table by a figure, unless it is there and was drawn from the same by the same code."""
        source = _hash_of(figure, table)
        if self.known.get(picture.name) == [source, _content_hash(picture)]:
            return
        drawing()
        self.known[picture.name] = [source, _content_hash(picture)]

    def save(self) -> None:
        """Write it, if anything is new."""
        content = (json.dumps(self.known, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()
        try:
            is_same = read_regular(self.path, REPORT_LIMIT) == content
        except (OSError, ValueError):
            is_same = False
        if not is_same and self.known:
            write_whole(self.path, content)


def _content_hash(path: Path) -> str:
    """Hash of a file's content; empty where it cannot be read."""
    try:
        return hashlib.sha256(read_regular(path, REPORT_LIMIT)).hexdigest()
    except (OSError, ValueError):
        return ""


def _hash_of(figure: str, table: polars.DataFrame) -> str:
    """Hash of all that a picture depends on, but for the machine: its last digits may differ between processors."""
    entry = registry.look_up("figure", registry.parse_call(figure).name)
    parts = [
        registry.canonical_call("figure", figure),
        str(entry.source_hash),
        *(f"{name} {version(name)}" for name in ("matplotlib", "numpy", "scipy")),
        code_hash(),
        json.dumps([(name, str(kind)) for name, kind in table.schema.items()]),
        table.write_ndjson(),
    ]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@lru_cache(maxsize=1)
def code_hash() -> str:
    """Hash of the code that draws."""
    digest = hashlib.sha256()
    for room in _DRAWING:
        for path in sorted((_PACKAGE / room).glob("*.py")):
            digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
