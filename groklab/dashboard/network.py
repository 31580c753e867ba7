"""What is stored of a run's network at its checkpoints: which there are, and the table, answers and matrices at one of them.

Every file is looked at before it is read, so that no link leads out of the results. Names in a run's description are looked up
among what is registered; the copy of a plugin that a run keeps is never executed.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np
import polars as pl

from groklab import registry
from groklab.analysis.elements import elements_table, group_of
from groklab.analysis.tables import bare_cells, cells_table
from groklab.config.run import Run
from groklab.dashboard.access import check_file, check_inside
from groklab.dashboard.address import Address, chosen_run
from groklab.dashboard.catalog import Catalog, Entry
from groklab.data.groups import FiniteGroup, group_named
from groklab.data.splits import split_of
from groklab.data.table import Table
from groklab.data.tables import table_of
from groklab.results.files import StoreError
from groklab.text.values import shown

_KEPT = 64
Made = TypeVar("Made")


class Memory:
    """What was computed last, by what it depends on."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = threading.Lock()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._made

    def get(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """The value of a key, made where it is not kept."""
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
        made = make()
        with self._lock:
            self._made[key] = made
            while len(self._made) > self._most:
                self._made.popitem(last=False)
        return made


_memory, _small = Memory(_KEPT), Memory(50 * _KEPT)


def remembered(key: Hashable, make: Callable[[], Made], *, is_small: bool = False) -> Made:
    """A value that is made once for a key, as long as it is among the last that were asked for; of small ones more are kept."""
    return (_small if is_small else _memory).get(key, make)


def is_remembered(key: Hashable) -> bool:
    """Whether a small value is there already."""
    return key in _small


def steps_of(entry: Entry, kind: str) -> list[int]:
    """Steps of the stored ``checkpoints`` or ``answers``, rising."""
    folder = entry.folder.path / kind
    if check_file(entry.folder.path.parent, folder) is None:
        return []
    check_inside(entry.folder.path.parent, folder)
    return entry.folder.steps_of(kind)


def stored_stamp(entry: Entry | None) -> str:
    """Changes when a run or what is stored of its network does."""
    if entry is None:
        return "none"
    times: list[int] = []
    for part in ("answers", "checkpoints", "measures"):
        try:
            found = check_file(entry.folder.path.parent, entry.folder.path / part)
        except (StoreError, OSError):
            continue
        times.append(0 if found is None else found.st_mtime_ns)
    return f"{entry.id} {entry.version} {times}"


def shown_run(catalog: Catalog, address: Address, least: str) -> Entry | None:
    """The run that a page shows; ValueError where the one that is asked for is not there or cannot be read."""
    chosen = chosen_run(catalog, address, least=least)
    if chosen.problem:
        raise ValueError(chosen.problem)
    entry = chosen.entries[0] if chosen.entries else None
    if entry is not None and entry.run is None:
        raise ValueError(f"{entry.id} is {entry.status}: {entry.message}")
    return entry


def run_in(entry: Entry) -> Run:
    """The run of an entry that can be read."""
    if entry.run is None:
        raise ValueError(f"{entry.id} is {entry.status}: {entry.message}")
    return entry.run


def check_registered(entry: Entry) -> None:
    """ValueError where a run's table is made by a plugin that this dashboard was not started with."""
    run = run_in(entry)
    name = run.task.operation
    operations = registry.entries("operation")
    plugins = [str(plugin) for plugin in entry.description.get("plugins", [])]
    told = f"Start the dashboard with --plugin and that file, whose copy is in {entry.id}/plugins, to see more than its curves."
    if name not in operations:
        raise ValueError(f"{entry.id} uses the operation {shown(name)} of a plugin, which the dashboard does not execute by itself. {told}")
    own = operations[name]
    if own.plugin is not None and not any(str(own.source_hash) in plugin for plugin in plugins):
        raise ValueError(f"{entry.id} uses another version of the plugin that defines {shown(name)}. {told}")


def check_plugins(entry: Entry) -> None:
    """ValueError where a run names things of a plugin that this dashboard was not started with: what needs its network needs them all."""
    check_registered(entry)
    for plugin in entry.description.get("plugins", []):
        source = str(plugin).removesuffix(".py").rpartition("-")[2]
        if not registry.is_loaded(source):
            raise ValueError(
                f"{entry.id} was trained with the plugin {plugin}, whose copy the dashboard does not execute. Look at {entry.id}/plugins, and "
                "start the dashboard with --plugin and that file to have its network computed with."
            )


def table_in(entry: Entry) -> Table:
    """The table of a run."""
    check_registered(entry)
    return table_of(run_in(entry).task)


def cells_at(entry: Entry, step: int | None) -> pl.DataFrame:
    """The cells of a run's table with its answers at a step; without answers where none is asked for."""
    check_registered(entry)
    run = run_in(entry)
    if step is None:
        return bare_cells(table_of(run.task), split_of(run))
    _check_step(entry, "answers", step)
    return remembered(("cells", entry.folder.path, entry.description.get("id"), step), lambda: cells_table(entry.folder, run, step))


def elements_at(entry: Entry, step: int, layer: str) -> pl.DataFrame:
    """The elements of a run as rows of a layer at a checkpoint."""
    check_registered(entry)
    _check_step(entry, "checkpoints", step)
    run = run_in(entry)
    return remembered(("elements", entry.folder.path, step, layer), lambda: elements_table(entry.folder, run, step, layer=layer))


def arrays_at(entry: Entry, step: int) -> dict[str, np.ndarray]:
    """The parameters of a checkpoint by name."""
    _check_step(entry, "checkpoints", step)
    return entry.folder.read_step("checkpoints", step)[1]


def _check_step(entry: Entry, kind: str, step: int) -> None:
    folder = entry.folder.path / kind
    check_inside(entry.folder.path.parent, folder)
    if check_file(entry.folder.path.parent, folder / f"step_{step:09d}.safetensors") is None:
        raise StoreError(f"{entry.id} has no {kind} at step {step:,}.")


def finite_group_of(entry: Entry) -> FiniteGroup | None:
    """The finite group that a run's operation is of; None for modular tables and files."""
    check_registered(entry)
    name = group_of(run_in(entry))
    return None if name is None else group_named(name)


def order_of_elements(group: FiniteGroup) -> list[int]:
    """The order of every element of a group."""
    orders = np.ones(group.order, dtype=np.int64)
    power = np.arange(group.order)
    while (pending := power != group.identity).any():
        orders[pending] += 1
        power = np.where(pending, group.table[power, np.arange(group.order)], power)
    return orders.tolist()
