"""Weights that are known to solve a task, to hold measures against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from groklab import registry
from groklab.config.run import Run
from groklab.data.cyclic import cyclic_task
from groklab.data.tables import table_of
from groklab.model.parameters import Parameters, parameters_from
from groklab.text.values import shown

_PHASES = 3
"""Phases of each input: three by three per frequency cancel every wave but that of the answer."""


def gromov_solution(run: Run, frequencies: Sequence[int] | None = None, *, answer_logit: float = 1.0) -> Parameters:
    """Parameters, (1, P), of a network with one quadratic layer on one-hot inputs that adds by waves (Gromov 2023, equation 5).

    Neuron k, i, j reads cos(w_k a + φ_i) and cos(±w_k b + ψ_j) and writes cos(w_k c + φ_i + ψ_j), with the sign of the operation and
    w_k = 2πk/M over the cyclic group of M elements (for multiplication and division those of the discrete logarithm). Gromov's phases
    are random and cancel the other waves for many neurons; here φ and ψ are 0, 2π/3, 4π/3, which cancels them exactly, so that

        logit_c = answer_logit · mean over k of cos w_k(a ± b − c).

    It takes nine neurons per frequency, all 1 … M // 2 unless some are given; other neurons, and elements outside the group, are
    zero. ValueError for another architecture, too few neurons, or frequencies that the group has not.
    """
    call = registry.parse_call(run.model.architecture)
    is_fit = call.name == "mlp" and registry.settings_of("architecture", run.model.architecture)["inputs"] == "one_hot"
    if not is_fit or run.model.layers != 1 or run.model.activation != "quadratic":
        raise ValueError(
            f"gromov_solution: got {run.model.architecture} with {run.model.layers} layers and {run.model.activation}; "
            "expected mlp(inputs='one_hot') with 1 layer and quadratic, as in the preset gromov."
        )
    table = table_of(run.task)
    group = cyclic_task(table)
    chosen = sorted(set(range(1, group.order // 2 + 1) if frequencies is None else frequencies))
    outside = [k for k in chosen if not 1 <= k <= group.order // 2]
    if outside or not chosen:
        raise ValueError(f"gromov_solution: frequencies: got {shown(frequencies)}; expected some of 1 to {group.order // 2}.")
    neurons, width = _PHASES**2 * len(chosen), run.resolved()["mlp_width"]
    if neurons > width:
        raise ValueError(f"gromov_solution: got {width} neurons (mlp_width); expected at least {neurons}, nine for each frequency.")
    phases = 2 * np.pi * np.arange(_PHASES) / _PHASES
    k, phi, psi = (side.ravel() for side in np.meshgrid(chosen, phases, phases, indexing="ij"))
    angle = 2 * np.pi / group.order * np.outer(k, np.arange(group.order))
    # A neuron gives amplitude³/2 cos w(a ± b − c): nine of them are one frequency's wave.
    amplitude = (2 * answer_logit / neurons) ** (1 / 3)
    layout = registry.look_up("architecture", call.name).function(run, table.n, **dict(call.settings))
    arrays = {name: np.zeros(entry.shape) for name, entry in layout.entries.items()}
    arrays["layers.0.left"][:neurons, group.places] = amplitude * np.cos(angle + phi[:, None])
    arrays["layers.0.right"][:neurons, group.places] = amplitude * np.cos(group.sign * angle + psi[:, None])
    arrays["output"].T[:neurons, group.places] = amplitude * np.cos(angle + (phi + psi)[:, None])
    return parameters_from(layout, arrays, dtype=getattr(torch, run.training.precision))
