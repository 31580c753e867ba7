"""What a run.json holds: which parts it must have, of which types, whoever wrote it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from groklab.text.values import shown

FORMAT = 1
"""Version of the results format; a reader for every older one is kept."""

STATUSES = ("running", "interrupted", "complete", "diverged", "damaged")

_PARTS = {"run": dict, "status": str, "resolved": dict, "parameters": dict, "plugins": list, "segments": list}
_TEXTS = ("message",)
_SEGMENT = ("began", "groklab", "torch", "device", "path")


def part_problem(content: Mapping[str, Any]) -> str | None:
    """What is wrong with the parts of a run.json of a known format, in words; None where nothing is."""
    if not all(isinstance(content.get(name), kind) for name, kind in _PARTS.items()) or content["status"] not in STATUSES:
        return "a part of it is missing"
    for name in _TEXTS:
        if not isinstance(content.get(name, ""), str):
            return f"{name} is {shown(content[name])}, and not text"
    warnings = content.get("warnings", [])
    if not isinstance(warnings, list) or not all(isinstance(warning, str) for warning in warnings):
        return f"warnings are {shown(warnings)}, and not texts"
    if not isinstance(content.get("imported", {}), dict):
        return f"imported is {shown(content['imported'])}, and not an object"
    for name, value in content["parameters"].items():
        if not _is_count(value):
            return f"parameters.{shown_key(name)} is {shown(value)}, and no number of parameters"
    for number, segment in enumerate(content["segments"], 1):
        if not isinstance(segment, dict) or not _is_count(segment.get("from_step", 0)):
            return f"segment {number} is {shown(segment)}, and not what was computed from a step on"
        if wrong := [name for name in _SEGMENT if not isinstance(segment.get(name, ""), str)]:
            return f"{wrong[0]} of segment {number} is {shown(segment[wrong[0]])}, and not text"
    return None


def shown_key(name: str) -> str:
    """A name in a file as a message shows it: as it stands where it is one word."""
    return name if name.isidentifier() and len(name) <= 40 else shown(name)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
