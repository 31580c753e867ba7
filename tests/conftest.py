"""Shapes and types of public signatures are checked while the tests run; outside they cost nothing. Skipped tests say what they need."""

import sys
import types
from collections import Counter
from pathlib import Path

import pytest
import torch
from beartype import BeartypeConf, beartype
from jaxtyping import install_import_hook

sys.path.append(str(Path(__file__).parents[1]))  # for the benchmarks, which are not part of the installed package

# jaxtyping takes the checker by name; this one lets whole numbers pass for decimals, as Python's own type checkers do.
checker = types.ModuleType("groklab_type_checker")
checker.check = beartype(conf=BeartypeConf(is_pep484_tower=True))
sys.modules[checker.__name__] = checker
install_import_hook(["groklab.model", "groklab.measures", "groklab.training"], "groklab_type_checker.check")

# As in every training process: two threads beside other work are many times slower than one.
torch.set_num_threads(1)


@pytest.fixture
def own_registry():
    """What a test registers, or loads as a plugin, is known to it alone."""
    from groklab import registry

    with registry.isolated():
        yield registry


def pytest_terminal_summary(terminalreporter):
    """How many tests were skipped for want of what; a file that is skipped as a whole counts once."""
    needs = Counter(reason_of(report) for report in terminalreporter.stats.get("skipped", []))
    if needs:
        terminalreporter.section("skipped, as they would need something that is not here")
        for reason, count in sorted(needs.items(), key=lambda item: (-item[1], item[0])):
            terminalreporter.line(f"{count:5} × {reason}")


def reason_of(report):
    where = report.longrepr
    return (where[2] if isinstance(where, tuple) else str(where)).removeprefix("Skipped: ")
