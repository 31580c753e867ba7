"""Activations of a stored or running network under the field's usual names, and forward passes in which some are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxtyping import Float, Int

from groklab import registry
from groklab.config.run import Run
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.passes import pass_of
from groklab.model.torch_later import Tensor, torch
from groklab.text.values import shown

Replacement = Tensor | Callable[[Tensor], Tensor]
"""A tensor of the activation's shape (patching), or what makes one of the activation as it is (ablation)."""

Pairs = tuple[Int[Tensor, " B"], Int[Tensor, " B"]]

PIECE = 1024
"""Pairs of one forward pass: what it writes stays in the cache, and large tables fit into memory."""


def in_pieces(pairs: Pairs) -> Iterator[Pairs]:
    """Pairs of elements, as many at a time as one forward pass takes."""
    return zip(*(side.split(PIECE) for side in pairs), strict=True)


def all_pairs(task: MeasuredTask) -> Pairs:
    """a and b of all n² inputs, b varying fastest, whether the table has a cell there or not (x / 0 is an input too)."""
    n = task.table.n
    a = torch.arange(n).repeat_interleave(n)
    return a, torch.arange(n).repeat(n)


def logits_of(
    parameters: Parameters, task: MeasuredTask, pairs: Pairs | None = None, *, replace: Mapping[str, Replacement] | None = None
) -> Float[Tensor, "B N"]:
    """Logits of one run's network, (1, P), for pairs of elements (all by default), in float64.

    ``replace`` puts other activations in the place of named ones: ``{"blocks.0.attn.hook_pattern": torch.zeros_like}``.
    ValueError names the activations that there are where one is unknown, and the shape that was expected where it is another.
    """
    return _pass(parameters, task, pairs, (), dict(replace or {}))[0]


def activations_of(
    parameters: Parameters,
    task: MeasuredTask,
    names: Sequence[str] | None = None,
    pairs: Pairs | None = None,
    *,
    replace: Mapping[str, Replacement] | None = None,
) -> dict[str, Tensor]:
    """Named activations, (B, …), for pairs of elements (all by default), in the run's precision; all there are unless some are named.

    The names are those of TransformerLens, such as ``blocks.0.attn.hook_pattern`` (B, H, T, T) or ``blocks.0.mlp.hook_post`` (B, T, F)
    of a transformer, ``layers.0.hook_post`` (B, F) of an MLP, and ``hook_logits`` (B, N) of both.
    """
    return _pass(parameters, task, pairs, names, dict(replace or {}))[1]


# — where the answer is read —


def is_transformer(run: Run) -> bool:
    """Whether a run's network is a transformer, in which the answer is read at the last token."""
    return registry.parse_call(run.model.architecture).name == "transformer"


def last_hidden(run: Run) -> str | None:
    """Name of the last hidden layer's activations; None for an architecture of a plugin."""
    last = run.model.layers - 1
    name = registry.parse_call(run.model.architecture).name
    return {"transformer": f"blocks.{last}.mlp.hook_post", "mlp": f"layers.{last}.hook_post"}.get(name)


def at_equals(activation: Float[Tensor, "B *T F"]) -> Float[Tensor, "B F"]:
    """Activations of a transformer at ``=``; those of an MLP, which has no tokens, as they are."""
    return activation if activation.ndim == 2 else activation[:, -1]


def put_at_equals(rows: Float[Tensor, "... F"], activation: Float[Tensor, "B *T F"]) -> Float[Tensor, "B *T F"]:
    """Activations with others in their place at ``=``; the tokens before it as they are."""
    if activation.ndim == 2:
        return rows.to(activation)
    changed = activation.clone()
    changed[:, -1] = rows.to(activation)
    return changed


# — the pass —


def _pass(
    parameters: Parameters, task: MeasuredTask, pairs: Pairs | None, names: Sequence[str] | None, replace: dict[str, Replacement]
) -> tuple[Tensor, dict[str, Tensor]]:
    """One forward pass of the reference; what was asked for of what it showed."""
    entry = registry.look_up("architecture", registry.parse_call(task.run.model.architecture).name)
    if "reference" not in entry.facts:
        raise ValueError(f"architecture {entry.name}: it has no reference pass, so its activations have no names.")
    a, b = (side.to(parameters.flat.device) for side in (pairs or all_pairs(task)))
    seen: dict[str, Any] = {}
    known: list[str] = []

    def see(name: str, activation: Tensor) -> Tensor:
        known.append(name)
        if name in replace:
            activation = _replaced(name, activation, replace[name])
        if names is None or name in names:
            seen[name] = activation
        return activation

    own = {name: value[0] for name, value in parameters.items()}
    with torch.no_grad():
        logits = pass_of(entry, "reference")(own, task.run.model, a, b, task.table.n, see=see)
    for name in (*(names or ()), *replace):
        if name not in known:
            raise ValueError(f"activation {shown(name)}: this network has none of that name. {registry.nearest(name, known)}")
    return logits.double(), seen


def _replaced(name: str, activation: Tensor, replacement: Replacement) -> Tensor:
    made = replacement if isinstance(replacement, torch.Tensor) else replacement(activation)
    try:
        return made.to(activation).expand_as(activation)
    except RuntimeError:
        raise ValueError(
            f"activation {shown(name)}: got a replacement of shape {tuple(made.shape)}; expected {tuple(activation.shape)}."
        ) from None
