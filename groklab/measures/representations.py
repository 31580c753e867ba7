"""How a network trained on a group's product uses the group's representations (Chughtai et al. 2023).

For an irreducible representation ρ the character cube is T[x, y, z] = tr ρ(x·y·z⁻¹): logits that a network would have that
multiplies matrices and compares traces. The measures say how much of logits, embedding, output layer and last hidden layer
lies where the representations are, and what the loss is with those directions alone or without them. They apply to every
task whose table is a group; for addition mod n the representations are its frequencies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float, Int

from groklab import registry
from groklab.config.run import Run
from groklab.data.representations import representations_of
from groklab.data.tables import table_of
from groklab.measures.activations import Replacement, at_equals, is_transformer, last_hidden, logits_of, put_at_equals
from groklab.measures.products import PAIRS, group_of, products_of, task_problem
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.model.torch_later import F, Tensor, torch
from groklab.registry import measure
from groklab.text.values import shown

_SOURCE = "Chughtai et al. 2023"

Reals = npt.NDArray[np.float64]


# — what they apply to —


def _problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    """Why a measure of this file does not apply to a run, or what is wrong with its settings."""
    found = list(_setting_problems(settings))
    if run is None:
        return found
    problem = task_problem(run.task)
    if problem is not None:
        return [*found, problem]
    return found + list(_unknown_representations(settings, run))


def _network_problems(settings: Mapping[str, Any], *, run: Run | None = None, **context: Any) -> list[str]:
    """The same of a measure that looks into the network, unless it is asked for the level of the logits."""
    found = _problems(settings, run=run, **context)
    if run is None or settings.get("level") == "logits":
        return found
    try:
        name = registry.parse_call(run.model.architecture).name
    except ValueError:
        return found  # reported of the architecture itself
    if name not in ("transformer", "mlp"):
        instead = " Take level='logits', which applies to all." if "level" in settings else ""
        return [*found, f"got the architecture {name}; expected transformer or mlp.{instead}"]
    if settings.get("through") == "mlp" and (name, run.model.norm) != ("transformer", "none"):
        given = f"norm {run.model.norm}" if name == "transformer" else "architecture mlp"
        found.append(
            f"through: got 'mlp' with {given}; expected a transformer with norm none, whose last MLP writes to the logits linearly."
        )
    return found


def _setting_problems(settings: Mapping[str, Any]) -> Iterator[str]:
    threshold = settings.get("threshold", 0.0)
    if not isinstance(threshold, (int, float)) or not 0 <= threshold < 1:
        yield f"threshold: got {shown(threshold)}; expected a similarity in [0, 1)."
    for name, known in (("level", ("hidden", "logits")), ("through", ("output", "mlp"))):
        if name in settings and settings[name] not in known:
            yield f"{name}: got {shown(settings[name])}; expected {' or '.join(known)}."
    if not isinstance(settings.get("keeps_mean", False), bool):
        yield f"keeps_mean: got {shown(settings['keeps_mean'])}; expected True or False."
    names = settings.get("representations", ())
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        yield f"representations: got {shown(names)}; expected names, as in ('sign', 'standard'), or () for the key representations."


def _require(task: MeasuredTask, check: Callable[..., list[str]], **settings: Any) -> None:
    """What is checked before step 0, for those who call a measure themselves; ValueError with everything that is wrong."""
    problems = check(settings, run=task.run)
    if problems:
        raise ValueError("representations: " + " ".join(problems))


def _unknown_representations(settings: Mapping[str, Any], run: Run) -> Iterator[str]:
    names = settings.get("representations", ())
    if isinstance(names, tuple) and names:
        try:
            known = list(representations_of(group_of(run.task, table_of(run.task))).names)
        except ValueError:
            return  # the table cannot be made, which is reported of the task
        yield from (f"representations: unknown {shown(name)}. {registry.nearest(str(name), known)}" for name in names if name not in known)


# — logits —


@measure(label="similarity of logits and character cubes", source=_SOURCE, check=_problems)
def logit_similarity(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Cosine of logits, centered over the answers, and the character cube tr ρ(x·y·z⁻¹), by representation (Chughtai et al. 2023).

    The trivial representation is left out: its cube is constant, and centered logits have no part in it.
    """
    _require(task, _problems)
    return products_of(parameters, task).similarities()


@measure(label="key representations", source=_SOURCE, check=_problems)
def key_representations(parameters: Parameters, task: MeasuredTask, *, threshold: float = 0.005) -> dict[str, float]:
    """Which representations the logits are made of, 1 or 0 each, and their ``count``: similarity above a threshold (Chughtai et al. 2023)."""
    _require(task, _problems, threshold=threshold)
    similarities = products_of(parameters, task).similarities()
    keys = {name: float(similarity > threshold) for name, similarity in similarities.items()}
    return {"count": sum(keys.values(), 0.0)} | keys


@measure(label="share of the logits' variance in character cubes", source=_SOURCE, check=_problems)
def representation_logit_fve(parameters: Parameters, task: MeasuredTask) -> float:
    """Fraction of the centered logits' variance explained by all character cubes: the sum of squared similarities (Chughtai et al. 2023)."""
    _require(task, _problems)
    return sum(similarity**2 for similarity in products_of(parameters, task).similarities().values())


# — weights and activations —


@measure(label="share of the embedding in each representation", source=_SOURCE, check=_network_problems)
def representation_embedding_fve(parameters: Parameters, task: MeasuredTask) -> dict[str, float]:
    """Fraction of the embedding's squares explained by the entries of each ρ(x), the trivial one's being its mean (Chughtai et al. 2023).

    Of a transformer the embedding; of an MLP ``left`` and ``right``, each with the first layer's weights for that side.
    """
    _require(task, _network_problems)
    own = {name: value[0].detach().cpu().double().numpy() for name, value in parameters.items()}
    n = task.table.n
    if "embedding" in own:
        return _shares(task, own["embedding"][:n])
    shares: dict[str, float] = {}
    for side in ("left", "right"):
        weights = own.get(f"layers.0.{side}", own.get("layers.0"))
        assert weights is not None, "an MLP has a first layer"
        read = own[f"embedding.{side}"] @ weights.T if f"embedding.{side}" in own else weights.T
        shares |= {f"{side}.{name}": share for name, share in _shares(task, read).items()}
    return shares


@measure(label="share of the output layer in each representation", source=_SOURCE, check=_network_problems)
def representation_unembedding_fve(parameters: Parameters, task: MeasuredTask, *, through: str = "output") -> dict[str, float]:
    """Fraction of the output layer's squares explained by the entries of each ρ(z) (Chughtai et al. 2023).

    ``through="output"``: W_U itself; ``"mlp"``: W_U W_out, what the last MLP of a transformer without norm adds to the logits.
    """
    _require(task, _network_problems, through=through)
    output = parameters["output"][0].detach().cpu().double().numpy()
    if through == "mlp":
        output = output @ parameters[f"blocks.{task.run.model.layers - 1}.mlp.out"][0].detach().cpu().double().numpy()
    return _shares(task, output)


def _shares(task: MeasuredTask, function: Reals) -> dict[str, float]:
    """Shares of the squares of functions on the group, (N, …), in every representation; they sum to 1."""
    found = representations_of(group_of(task.run.task, task.table)).irreducibles
    return {rho.name: _share(np.square(rho.basis.T @ function).sum(), np.square(function).sum()) for rho in found}


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else 0.0


@measure(label="share of the last hidden layer in each representation", source=_SOURCE, check=_network_problems)
def representation_hidden_fve(
    parameters: Parameters, task: MeasuredTask, *, threshold: float = 0.005, representations: tuple[str, ...] = ()
) -> dict[str, float]:
    """Fraction of the variance of the last MLP's units at ``=`` explained by the entries of ρ(x), ρ(y) and ρ(x·y) (Chughtai et al. 2023).

    ``x.NAME``, ``y.NAME`` and ``xy.NAME`` for every representation but the trivial one; ``x``, ``y``, ``xy`` and their ``sum`` over
    the key representations, or over those that are named. The three are orthogonal to each other.
    """
    _require(task, _network_problems, threshold=threshold, representations=representations)
    seen = products_of(parameters, task)
    keys, n = seen.keys(threshold, representations), task.table.n
    shares = {
        f"{of}.{rho.name}": _share(n * np.square(rho.basis.T @ means).sum(), seen.hidden_power)
        for of, means in seen.hidden.items()
        for rho in seen.representations.irreducibles[1:]
    }
    totals = {of: sum((shares.get(f"{of}.{name}", 0.0) for name in keys), 0.0) for of in seen.hidden}
    return totals | {"sum": sum(totals.values())} | shares


# — losses —


@measure(label="loss with the key representations alone", source=_SOURCE, check=_network_problems)
def representation_restricted_loss(
    parameters: Parameters,
    task: MeasuredTask,
    *,
    level: str = "hidden",
    threshold: float = 0.005,
    representations: tuple[str, ...] = (),
    keeps_mean: bool = False,
) -> float:
    """Cross-entropy over all pairs, in nats, when only the key representations' entries of ρ(x·y) are kept (Chughtai et al. 2023).

    ``level="hidden"`` projects the last MLP's units at ``=`` and leaves what goes around that MLP in a transformer as it is;
    ``"logits"`` projects the logits. ``keeps_mean`` adds the mean over all pairs. Representations may be named in place of the
    key ones.
    """
    _require(task, _network_problems, level=level, threshold=threshold, representations=representations, keeps_mean=keeps_mean)
    seen = products_of(parameters, task)
    means = seen.logits if level == "logits" else seen.hidden["xy"]
    kept = seen.projected(means, seen.keys(threshold, representations)) + (means.mean(0) if keeps_mean else 0.0)
    n = task.table.n
    if level == "logits":
        return float(F.cross_entropy(torch.from_numpy(kept), torch.arange(n)))
    # After its last hidden layer an MLP knows the product alone: one pair of each is enough.
    has_detour = is_transformer(task.run)
    cells = np.arange(n**2) if has_detour else seen.group.identity * n + np.arange(n)
    layer = last_hidden(task.run)
    return _loss(parameters, task, cells, task.table.z[cells], layer, lambda old, z: torch.from_numpy(kept).to(old)[z])


@measure(label="training loss without the key representations", source=_SOURCE, check=_network_problems)
def representation_excluded_loss(
    parameters: Parameters,
    task: MeasuredTask,
    *,
    level: str = "hidden",
    threshold: float = 0.005,
    representations: tuple[str, ...] = (),
) -> float:
    """Cross-entropy over the training cells, in nats, when the key representations' entries of ρ(x·y) are removed (Chughtai et al. 2023).

    Levels as in `representation_restricted_loss`; the labels are those trained on.
    """
    _require(task, _network_problems, level=level, threshold=threshold, representations=representations)
    seen = products_of(parameters, task)
    removed = seen.projected(seen.logits if level == "logits" else seen.hidden["xy"], seen.keys(threshold, representations))
    cells = task.split.train
    layer = None if level == "logits" else last_hidden(task.run)
    return _loss(parameters, task, cells, task.split.labels[cells], layer, lambda old, z: old - torch.from_numpy(removed).to(old)[z])


def _loss(
    parameters: Parameters,
    task: MeasuredTask,
    cells: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int32],
    layer: str | None,
    changed: Callable[[Float[Tensor, "B F"], Int[Tensor, " B"]], Float[Tensor, "B F"]],
) -> float:
    """Mean cross-entropy of cells, in float64, with a layer at ``=``, or else the logits, changed by a function of it and of x·y."""
    total = 0.0
    for first in range(0, len(cells), PAIRS):
        part = cells[first : first + PAIRS]
        x, y, z = (torch.from_numpy(column[part]).to(torch.int64) for column in (task.table.x, task.table.y, task.table.z))
        if layer is None:
            logits = changed(logits_of(parameters, task, (x, y)).cpu(), z)
        else:
            logits = logits_of(parameters, task, (x, y), replace={layer: _replacement(changed, z)}).cpu()
        answers = torch.from_numpy(labels[first : first + PAIRS]).to(torch.int64)
        total += float(F.cross_entropy(logits, answers, reduction="sum"))
    return total / len(cells)


def _replacement(changed: Callable[[Tensor, Tensor], Tensor], products: Int[Tensor, " B"]) -> Replacement:
    """What changes a layer at ``=`` and leaves the tokens before it as they are."""
    return lambda activation: put_at_equals(changed(at_equals(activation), products.to(activation.device)), activation)
