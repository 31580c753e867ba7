"""Names that stand for functions: registered by decorators, found by kind, written as calls with settings."""

from groklab.registry.calls import Call, parse_call
from groklab.registry.entries import HOMES, Entry, Function
from groklab.registry.known import KINDS, PLURALS, entries, from_scripts, isolated, look_up, version
from groklab.registry.names import (
    architecture,
    call_problems,
    canonical_call,
    claim,
    experiment,
    figure,
    group,
    intervention,
    loss,
    measure,
    operation,
    optimizer,
    preset,
    schedule,
    settings_of,
    stop,
)
from groklab.registry.plugins import forget_plugins, is_loaded, load_plugin, load_plugins, load_source, plugin_source, plugins
from groklab.text.values import nearest

__all__ = [
    "HOMES",
    "KINDS",
    "PLURALS",
    "Call",
    "Entry",
    "Function",
    "architecture",
    "call_problems",
    "canonical_call",
    "claim",
    "entries",
    "experiment",
    "figure",
    "forget_plugins",
    "from_scripts",
    "group",
    "intervention",
    "is_loaded",
    "isolated",
    "load_plugin",
    "load_plugins",
    "load_source",
    "look_up",
    "loss",
    "measure",
    "nearest",
    "operation",
    "optimizer",
    "parse_call",
    "plugin_source",
    "plugins",
    "preset",
    "schedule",
    "settings_of",
    "stop",
    "version",
]
