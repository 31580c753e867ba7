"""What a network does on all pairs of a group's elements, averaged over the pairs of each product: one look, shared by measures.

A function of x·y is projected on the entries of a representation ρ(x·y) in two steps, which keeps everything of size N × N: its
mean over the N pairs of each product, then the projection of that function on the group.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from groklab import registry
from groklab.config.fields import Task
from groklab.data.groups import FiniteGroup, order_of
from groklab.data.representations import Representations, order_problem, representations_of
from groklab.data.table import Table
from groklab.measures.activations import activations_of, at_equals, last_hidden, logits_of
from groklab.measures.newest import newest_kept
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import Tensor, torch

PAIRS = 4096
"""Pairs of elements in one forward pass, about."""

Reals = npt.NDArray[np.float64]


# — the group —


def task_problem(task: Task) -> str | None:
    """Why a task has no representations; None where it has, or where something else is wrong with it that is reported elsewhere."""
    operations = registry.entries("operation")
    if task.operation not in operations:
        return None
    facts = operations[task.operation].facts
    if facts.get("group") is not True:
        known = ", ".join(name for name, entry in operations.items() if entry.facts.get("group") is True)
        return f"got the operation {task.operation}, whose table is not declared to be a group; expected one of {known}."
    if facts.get("over", "modulus") == "modulus":
        return order_problem(f"{task.operation} mod {task.modulus or 97}", task.modulus or 97)
    group = facts.get("on") or task.group
    if group is None or registry.call_problems("group", group):
        return None
    order = order_of(registry.parse_call(group))
    return None if order is None else order_problem(group, order)


@lru_cache(maxsize=16)
def group_of(task: Task, table: Table) -> FiniteGroup:
    """The group that a task's table is; ValueError where it is none."""
    problem = task_problem(task)
    if problem is None and (table.cells != table.n**2 or not table.known.all()):
        problem = f"got {table.symbol}, a table in which {table.n**2 - int(table.known.sum())} pairs have no answer; expected a group."
    if problem is not None:
        raise ValueError(f"representations: {problem}")
    group = registry.look_up("operation", task.operation).facts.get("on") or task.group
    name = table.symbol if group is None else str(registry.parse_call(group))
    return FiniteGroup(name, table.elements, table.z.reshape(table.n, table.n).astype(np.int64))


# — one look at a network —


@dataclass(frozen=True, eq=False)
class Products:
    """What the measures need of the forward pass of all N² pairs."""

    representations: Representations
    logits: Reals
    """Mean logits of the pairs of every product, (N, N), centered over the elements in each row before."""
    logit_power: float
    """Sum of the squares of the logits of all pairs, centered over the elements in each row."""
    hidden_means: Mapping[str, Reals]
    """Mean of the last hidden layer at =, (N, F), over the pairs of every ``x``, of every ``y``, of every product ``xy``; empty where its name is not known."""
    hidden_power: float
    """Sum of the squares of that layer over all pairs, each unit centered over the pairs."""

    @property
    def group(self) -> FiniteGroup:
        """The group that the table is."""
        return self.representations.group

    @property
    def hidden(self) -> Mapping[str, Reals]:
        """The means of the last hidden layer; ValueError where the architecture has none of a known name."""
        if not self.hidden_means:
            raise ValueError("representations: the last hidden layer of this architecture has no known name; expected transformer or mlp.")
        return self.hidden_means

    def similarities(self) -> dict[str, float]:
        """Cosine of centered logits and character cube, for every representation but the trivial one."""
        n = self.group.order
        number = np.arange(n)
        quotients = self.group.table[:, self.group.inverse(number)]  # x·y·z⁻¹ of product and z
        by_quotient = np.bincount(quotients.ravel(), weights=self.logits.ravel(), minlength=n)
        # The cube's squares sum to N² times those of the character, which are e on average.
        scale = n / np.sqrt(self.logit_power * n**3) if self.logit_power > 0 else 0.0
        return {
            rho.name: float(scale * (rho.character @ by_quotient) / np.sqrt(rho.commuting)) for rho in self.representations.irreducibles[1:]
        }

    def keys(self, threshold: float, names: tuple[str, ...] = ()) -> tuple[str, ...]:
        """The representations whose similarity is above the threshold, or those that are named; ValueError for a name that is none."""
        named = tuple(self.representations[name].name for name in names)
        return named or tuple(name for name, similarity in self.similarities().items() if similarity > threshold)

    def projected(self, function: Reals, names: tuple[str, ...]) -> Reals:
        """Functions on the group, (N, …), projected on the entries of some representations."""
        basis = np.hstack([np.zeros((len(function), 0)), *(self.representations[name].basis for name in names)])
        return basis @ (basis.T @ function)


@newest_kept
def products_of(parameters: Parameters, task: MeasuredTask) -> Products:
    """What the network of these parameters does on all pairs; ValueError where its table is no group."""
    representations = representations_of(group_of(task.run.task, task.table))
    n, layer = task.table.n, last_hidden(task.run)
    products = torch.from_numpy(representations.group.table.copy())
    logits, powers = torch.zeros(n, n, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    sums: dict[str, Tensor] = {}
    rows = max(1, PAIRS // n)
    for first in range(0, n, rows):
        x = torch.arange(first, min(first + rows, n))
        pairs = x.repeat_interleave(n), torch.arange(n).repeat(len(x))
        if layer is None:
            block = logits_of(parameters, task, pairs).cpu()
        else:
            seen = activations_of(parameters, task, [layer, "hook_logits"], pairs)
            block = seen["hook_logits"].cpu().double()
            hidden = at_equals(seen[layer]).cpu().double()
            sums = sums or {name: torch.zeros(n, hidden.shape[-1], dtype=torch.float64) for name in ("x", "y", "xy")}
            for name, index in (("x", pairs[0]), ("y", pairs[1]), ("xy", products[x].flatten())):
                sums[name].index_add_(0, index, hidden)
            powers[1] += hidden.square().sum()
        block = block - block.mean(-1, keepdim=True)
        logits.index_add_(0, products[x].flatten(), block)
        powers[0] += block.square().sum()
    means = {name: total.numpy() / n for name, total in sums.items()}
    centered = float(powers[1]) - n**2 * float((means["x"].mean(0) ** 2).sum()) if means else 0.0
    return Products(representations, logits.numpy() / n, float(powers[0]), means, max(0.0, centered))
