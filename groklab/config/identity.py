"""What the id of a run is made of: a readable prefix, and the hash of every field that can change the history."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from groklab import registry


def identity(canonical: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The id of a run from its canonical fields and from all of its fields, as ``Run.canonical`` and ``Run.resolved`` give them."""
    digest = hashlib.sha256(json.dumps(canonical, sort_keys=True, separators=(",", ":")).encode()).hexdigest()[:8]
    share = values["train_fraction"]
    written = f"{share:.2f}" if round(share, 2) == share else repr(share)
    parts = [str(canonical.get("operation", values["operation"])).split("@")[0]]
    if "group" in canonical:
        parts.append(re.sub(r"[^A-Za-z0-9]+", "_", canonical["group"]).strip("_")[:40])
    if values["modulus"] is not None:
        parts.append(str(values["modulus"]))
    return "-".join([*parts, f"f{written}", f"s{values['seed']}", digest])


def as_annotated(name: str, value: Any) -> Any:
    """2 for a field of decimals means 2.0, so that both ways of writing give one id."""
    if name in ("train_fraction", "initial_scale", "learning_rate", "weight_decay"):
        return float(value)
    return [float(beta) for beta in value] if name == "betas" else value


def paper_name(kept: Mapping[str, Any]) -> str | None:
    """The paper's name of a group operation that has one, so that both ways of asking give one id."""
    for name, entry in registry.entries("operation").items():
        if entry.facts.get("same_as") == (kept.get("operation"), kept.get("group")):
            return name
    return None
