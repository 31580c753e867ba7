"""Code of others on the command line: plugins that a flag names are loaded; those that lie with stored results run only when somebody says so."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from groklab import registry
from groklab.arguments.parsing import is_terminal, value_of
from groklab.outside.printable import printable
from groklab.outside.streams import aside
from groklab.results.plugins import StoredPlugin, Trust


def load_plugins(words: Sequence[str]) -> None:
    """Load the files that --plugin names, before the other flags are read: they may name what these files register."""
    registry.load_plugins(value_of("--plugin", words))


def trust_of(is_told: bool) -> Trust:
    """Trust where the flag --trust-plugins says so; otherwise a person is asked, and nobody is where there is no terminal."""
    return is_told or (ask if is_terminal() else False)


def refuse(plugins: Sequence[StoredPlugin]) -> bool:
    """Nobody's word: code that has to be executed is refused, and code that this process has loaded is not asked about."""
    return False


def ask(plugins: Sequence[StoredPlugin]) -> bool:
    """Whether the person at the keyboard wants these files executed, which are named with their hashes on standard error."""
    aside("These files lie with the results, and would be executed:")
    for plugin in plugins:
        aside(f"  {printable(plugin.path)} (hash {plugin.hash})")
    aside("Execute them? Only if you know what they do. [y/N]")
    return sys.stdin.readline().strip().lower() in ("y", "yes")
