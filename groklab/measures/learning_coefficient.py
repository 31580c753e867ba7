"""Local learning coefficient: how fast the volume of parameters with almost the same loss shrinks around a network (Lau et al. 2023).

λ̂ = nβ · (E[L(w)] − L(w*)), where w is sampled around w* with density ∝ exp(−nβ L(w) − (γ/2)‖w − w*‖²). Of a regular minimum of d
parameters λ is d/2; every direction in which the loss is flatter than a square counts for less. Samples come from stochastic gradient
Langevin dynamics, w ← w − (ε/2)(nβ ∇L_batch(w) + γ(w − w*)) + √ε · N(0, 1) (Welling & Teh 2011).

An estimate depends on ε, γ and nβ; it is of use where it hardly does (`learning_coefficient_calibration`). A direction of curvature
h counts for about ½ nβh / (nβh + γ): those flatter than γ / nβ hardly at all. An estimate below zero says that w* is no minimum and
the chains walked down. One near nβ · ln N or above says that they left the network behind: for the paper's network of 419,328
parameters γ must be far above the 5 that suits networks of a few thousand, or the noise alone does that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from jaxtyping import Float

from groklab.config.run import Run
from groklab.data.splits import split_of
from groklab.measures.objective import Objective, Places, Vector, Vectors, is_positive, positive_number, refuse, whole_number
from groklab.measures.task import MeasuredTask
from groklab.model.parameters import Parameters
from groklab.registry import measure
from groklab.text.values import shown

BatchGradients = Callable[[Vectors, Places], tuple[Vector, Vectors]]
"""Mean loss, (K,), and its gradient, (K, D), at K points, each over a batch of its own, (K, B)."""


class Coefficient(NamedTuple):
    """An estimate of the local learning coefficient."""

    estimate: float
    standard_error: float
    """Over the chains; nan for a single one."""
    drift: float
    """The estimate from the second half of the draws less that from the first: near zero where the chains are stationary."""


def _chain_problems(settings: Mapping[str, Any], run: Run | None) -> list[str]:
    lows = {"chains": 1, "draws": 2, "burn_in": 0}
    problems = [problem for name, low in lows.items() for problem in whole_number(name, settings, low)]
    problems += positive_number("localization", settings, zero_allowed=True)
    if settings["batch"] is None:
        return problems
    wrong = whole_number("batch", settings, 2)
    if not wrong and run is not None:
        wrong = _batch_problems(settings["batch"], _training_cells(run))
    return problems + wrong


def _batch_problems(batch: int, cells: int | None) -> list[str]:
    if cells is None or batch <= cells:
        return []
    return [f"batch: got {batch:,}; expected at most the {cells:,} training cells."]


def _training_cells(run: Run) -> int | None:
    """How many cells the run trains on; None where its task is wrong, which is reported elsewhere."""
    try:
        return len(split_of(run).train)
    except ValueError:
        return None


def _problems(settings: Mapping[str, Any], *, run: Run | None = None) -> list[str]:
    nbeta = [] if settings["nbeta"] is None else positive_number("nbeta", settings)
    problems = _chain_problems(settings, run) + positive_number("epsilon", settings) + nbeta
    epsilon, localization = settings["epsilon"], settings["localization"]
    if not problems and epsilon * localization >= 4:
        problems.append(
            f"epsilon: got {epsilon} with a localization of {localization}; expected a product below 4, or every chain runs away."
        )
    return problems


def _calibration_problems(settings: Mapping[str, Any], *, run: Run | None = None) -> list[str]:
    problems = _chain_problems(settings, run)
    for name in ("epsilons", "nbetas"):
        values = settings[name]
        if not (isinstance(values, (tuple, list)) and values and all(is_positive(value) for value in values)):
            problems.append(f"{name}: got {shown(values)}; expected one or more finite numbers above 0, such as (1e-6, 1e-5).")
    return problems


@measure(label="local learning coefficient", source="Lau et al. 2023", check=_problems)
def learning_coefficient(
    parameters: Parameters,
    task: MeasuredTask,
    *,
    chains: int = 4,
    draws: int = 50,
    burn_in: int = 50,
    epsilon: float = 1e-6,
    localization: float = 1e5,
    batch: int | None = None,
    nbeta: float | None = None,
) -> dict[str, float]:
    """Local learning coefficient of the training loss, by stochastic gradient Langevin dynamics (Lau et al. 2023), without unit.

    ``estimate`` is the mean over ``chains`` of ``draws`` samples each, after ``burn_in`` steps, ``standard_error`` that over the chains
    (none for one chain), ``drift`` the estimate of the second half of the draws less that of the first, large where the chains have not
    settled. ``batch`` cells a step, by default min(512, half of the training cells); ``nbeta`` is n times the inverse
    temperature, by default batch / ln(batch); ``localization`` is γ. Logits in the run's precision. A step of a chain takes the
    paper's network about 0.045 s on one core with 512 cells: 18 s by default.
    """
    given = {"chains": chains, "draws": draws, "burn_in": burn_in, "epsilon": epsilon, "localization": localization}
    refuse("learning_coefficient", _problems({**given, "batch": batch, "nbeta": nbeta}))
    sampled = _Sampled(parameters, task, "learning_coefficient", batch)
    nbeta = nbeta or sampled.batch / math.log(sampled.batch)
    trace = sampled.excess([(epsilon, nbeta)], chains, draws=draws, burn_in=burn_in, localization=localization)[0]
    found = coefficient_of(trace, nbeta)
    numbers = {"estimate": found.estimate, "drift": found.drift}
    return numbers if chains == 1 else numbers | {"standard_error": found.standard_error}


@measure(label="calibration of the local learning coefficient", source="Lau et al. 2023", check=_calibration_problems, arrays=True)
def learning_coefficient_calibration(
    parameters: Parameters,
    task: MeasuredTask,
    *,
    epsilons: tuple[float, ...] = (3e-7, 1e-6, 3e-6),
    nbetas: tuple[float, ...] = (10.0, 30.0, 100.0),
    chains: int = 1,
    draws: int = 25,
    burn_in: int = 25,
    localization: float = 1e5,
    batch: int | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Local learning coefficients for every step size and temperature of a grid (Lau et al. 2023), as arrays, to find a plateau.

    ``epsilon`` (S,), ``nbeta`` (K,); ``estimate`` and ``drift`` (S, K) as in `learning_coefficient`; ``trace`` (S, K, draws), mean over
    the chains of the sampled loss less that of the network itself, in nats; ``is_finite`` (S, K), 1 where no sample overflowed, and
    where it is 0 the others are nan.
    """
    given = {"epsilons": epsilons, "nbetas": nbetas, "chains": chains, "draws": draws, "burn_in": burn_in}
    refuse("learning_coefficient_calibration", _calibration_problems({**given, "localization": localization, "batch": batch}))
    sampled = _Sampled(parameters, task, "learning_coefficient_calibration", batch)
    grid = [(epsilon, nbeta) for epsilon in epsilons for nbeta in nbetas]
    traces = sampled.excess(grid, chains, draws=draws, burn_in=burn_in, localization=localization)
    found = [coefficient_of(trace, nbeta) for (_, nbeta), trace in zip(grid, traces, strict=True)]
    shape = (len(epsilons), len(nbetas))
    estimates = np.array([one.estimate for one in found]).reshape(shape)
    return {
        "epsilon": np.array(epsilons, np.float64),
        "nbeta": np.array(nbetas, np.float64),
        "estimate": estimates,
        "drift": np.array([one.drift for one in found]).reshape(shape),
        "trace": traces.mean(1).reshape(*shape, draws),
        "is_finite": np.isfinite(estimates).astype(np.uint8),
    }


class _Sampled:
    """A run's training loss, the losses of its cells at the network itself, and the batch size."""

    def __init__(self, parameters: Parameters, task: MeasuredTask, name: str, batch: int | None) -> None:
        self.objective = Objective(parameters, task, precision="run")
        self.batch = min(512, -(-self.objective.cells // 2)) if batch is None else batch
        refuse(name, _batch_problems(self.batch, self.objective.cells))
        if self.batch < 2:
            raise ValueError(f"{name}: got a batch of {self.batch}; expected at least 2 cells. Train on more.")
        self.center = self.objective.center
        self.losses = self.objective.by_cell(self.center)
        self.task, self.name = task, name

    def excess(
        self, grid: Sequence[tuple[float, float]], chains: int, *, draws: int, burn_in: int, localization: float
    ) -> Float[np.ndarray, "G chains draws"]:
        """What `sample` gives for every pair of ε and nβ; all have the same random numbers, so that only their settings differ."""
        epsilon, nbeta = (np.repeat([pair[side] for pair in grid], chains) for side in (0, 1))
        sources = [source for _ in grid for source in self.task.randomness(self.name).spawn(chains)]
        rows = sample(
            self.objective.gradients,
            self.center,
            self.losses,
            sources,
            draws=draws,
            burn_in=burn_in,
            epsilon=epsilon,
            localization=localization,
            nbeta=nbeta,
            batch=self.batch,
        )
        return rows.reshape(len(grid), chains, draws)


def coefficient_of(trace: Vectors, nbeta: float) -> Coefficient:
    """λ̂ = nβ · the mean of L_batch(w) − L_batch(w*) over chains and draws, (chains, draws) (Lau et al. 2023)."""
    chains, draws = trace.shape
    by_chain = nbeta * trace.mean(1)
    error = float(by_chain.std(ddof=1) / math.sqrt(chains)) if chains > 1 else math.nan
    drift = nbeta * float(trace[:, draws // 2 :].mean() - trace[:, : draws // 2].mean())
    return Coefficient(float(by_chain.mean()), error, drift)


def sample(
    gradients: BatchGradients,
    center: Vector,
    losses: Vector,
    sources: Sequence[np.random.Generator],
    *,
    draws: int,
    epsilon: float | Vector,
    localization: float,
    nbeta: float | Vector,
    batch: int,
    burn_in: int = 0,
) -> Vectors:
    """L_batch(w) − L_batch(w*), (K, draws), after each step of K chains but those of ``burn_in``; nan for a chain that overflows.

    ``gradients`` gives loss and gradient over batches of the C cells, ``losses`` (C,) are those at the center, (D,). Every chain has a
    source of its own; ``epsilon`` and ``nbeta`` are numbers, or one for each, (K,). The two losses of a difference are of the same
    batch, so that what it has of easy or hard cells drops out.
    """
    K, C = len(sources), len(losses)
    rate, tempered = (np.broadcast_to(np.asarray(setting, np.float64), K)[:, None] for setting in (epsilon, nbeta))
    w = np.tile(center, (K, 1))
    found = np.empty((K, draws))
    is_finite = np.ones(K, dtype=bool)
    for t in range(burn_in + draws + 1):
        places = np.stack([source.permutation(C)[:batch] for source in sources]) if batch < C else np.tile(np.arange(C), (K, 1))
        noise = np.stack([source.standard_normal(len(center)) for source in sources])
        with np.errstate(over="ignore", invalid="ignore"):  # looked for in the next line
            loss, slope = gradients(w, places)
        is_finite &= np.isfinite(loss) & np.isfinite(slope).all(1)
        if t > burn_in:
            found[:, t - burn_in - 1] = loss - losses[places].mean(1)
        step = -rate / 2 * (tempered * slope + localization * (w - center)) + np.sqrt(rate) * noise
        w = np.where(is_finite[:, None], w + step, center)  # what overflowed is kept out of the way of the others
    found[~is_finite] = np.nan
    return found
