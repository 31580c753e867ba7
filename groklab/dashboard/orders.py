"""In which order the rows and columns of a table stand: as they are, around the cyclic group, by cosets, orders or classes.

An order that fits the group shows its structure: a table by powers of a primitive root has the diagonals of an addition, one by the
cosets of a normal subgroup falls into blocks, each of one coset.
"""

from __future__ import annotations

import math

import numpy as np

from groklab import registry
from groklab.dashboard.catalog import Entry
from groklab.dashboard.network import finite_group_of, order_of_elements, remembered, run_in, table_in
from groklab.data.cyclic import powers_of_root
from groklab.data.groups import FiniteGroup
from groklab.data.representations import conjugacy_classes
from groklab.data.subgroups import Subgroup, subgroup_classes

_SUBGROUPS = 14
"""Subgroups that are offered."""
_LARGEST = 400
"""Elements of the largest group whose subgroups are looked for."""


def orders_for(entry: Entry) -> dict[str, str]:
    """The orders that a run's table can be shown in: name to words; the first is as it is."""
    found = {"": "as it is"}
    group = finite_group_of(entry)
    if group is not None:
        found |= {"orders": "by order of the element", "classes": "by conjugacy class"}
        for number, (subgroup, _) in enumerate(_subgroups(group)):
            found[f"cosets-{number}"] = f"cosets of {subgroup.name}, {subgroup.type} ({subgroup.order} elements)"
        return found
    if registry.look_up("operation", run_in(entry).task.operation).facts.get("over", "modulus") != "modulus":
        return found
    table = table_in(entry)
    n = max(map(int, table.elements)) + 1
    if table.operation in ("multiplication", "division"):
        found["root"] = "by powers of a primitive root"
        n -= 1
    base = "root-" if "root" in found else ""
    found |= {f"{base}mod-{k}": f"by {'exponent' if base else 'residue'} mod {k}" for k in range(2, n) if n % k == 0 and k <= n // 2}
    if not base:
        found |= {f"steps-{k}": f"in steps of {k}" for k in range(2, min(n // 2, 25) + 1) if math.gcd(k, n) == 1}
    return found


def order_for(entry: Entry, name: str) -> np.ndarray:
    """(N,) the elements in the order of that name; as they are for one that is unknown."""
    table = table_in(entry)
    natural = np.arange(table.n)
    group = finite_group_of(entry)
    if group is not None:
        keys = _keys(group, name)
        return natural if keys is None else np.lexsort((natural, keys))
    if name not in orders_for(entry) or not name:
        return natural
    residues = np.array([int(element) for element in table.elements])
    n = int(residues.max()) + 1
    place = residues.astype(np.float64)
    if name.startswith("root"):
        power = {int(value): number for number, value in enumerate(powers_of_root(n))}
        place = np.array([power.get(int(residue), -1) for residue in residues], dtype=np.float64)
        n -= 1
    kind, _, number = name.removeprefix("root-").rpartition("-")
    if kind == "mod":
        return np.lexsort((place, np.where(place < 0, -1, place % int(number))))
    if kind == "steps":
        # 0, k, 2k, … : the residue r stands at r / k.
        return np.argsort(place * pow(int(number), -1, n) % n, kind="stable")
    return np.argsort(place, kind="stable")


def _keys(group: FiniteGroup, name: str) -> np.ndarray | None:
    """What the elements of a group are sorted by."""
    if name == "orders":
        return np.array(order_of_elements(group))
    if name == "classes":
        return remembered(("classes", group.name), lambda: _classes(group))
    kind, _, number = name.partition("-")
    subgroups = _subgroups(group)
    if kind == "cosets" and number.isdigit() and int(number) < len(subgroups):
        return subgroups[int(number)][0].cosets("xH")
    return None


def _subgroups(group: FiniteGroup) -> list[tuple[Subgroup, int]]:
    """One of every class of conjugate subgroups with the size of its class, normal ones first, then the larger ones."""

    def made() -> list[tuple[Subgroup, int]]:
        classes = [(members[0], len(members)) for members in subgroup_classes(group) if 1 < members[0].order < group.order]
        return sorted(classes, key=lambda found: (found[1] != 1, -found[0].order))[:_SUBGROUPS]

    return remembered(("subgroups", group.name), made) if group.order <= _LARGEST else []


def _classes(group: FiniteGroup) -> np.ndarray:
    """(N,) the number of each element's conjugacy class, small classes first."""
    classes = conjugacy_classes(group)
    names, sizes = np.unique(classes, return_counts=True)
    rank = np.empty(int(names.max()) + 1, dtype=np.int64)
    rank[names[np.lexsort((names, sizes))]] = np.arange(len(names))
    return rank[classes]
