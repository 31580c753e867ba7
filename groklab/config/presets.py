"""Named, cited recipes: each a whole run from which flags depart.

A preset fixes what its paper changes. Where groklab measures otherwise than a paper (99 % validation accuracy on evaluated steps, the
answer alone, a split of its own for every seed), times compare to within the spread over seeds and not beyond.
"""

from __future__ import annotations

from groklab.config.run import Run
from groklab.registry import look_up, preset


@preset(source="Power et al. 2022, appendix A.1.2")
def power_default() -> Run:
    """The paper's default recipe: division mod 97 at 50 %, AdamW with weight decay 1, 10⁵ updates (Power et al. 2022).

    ``groklab train --preset power_default``; a few minutes on one core. With it the delay looks modest: see
    ``power_figure1_left`` for the famous picture. docs/replication.md lists where the official code differs.
    """
    return Run()


@preset(source="Power et al. 2022, Figure 1 left")
def power_figure1_left() -> Run:
    """The famous curve: the same task with Adam and no weight decay, 10⁶ updates (Power et al. 2022, Figure 1 left).

    ``groklab train --preset power_figure1_left``; ten hours or more on one core, for it generalizes between 10⁵ and 10⁶ updates.
    """
    return Run.of(optimizer="adam", steps=1_000_000)


@preset(source="Nanda et al. 2023, arXiv 2301.05217")
def nanda() -> Run:
    """Progress measures: addition mod 113 at 30 %, one layer without norm or operator token, full batch, AdamW (Nanda et al. 2023).

    They also minimize the loss in float64; here gradients are of the run's precision, so add ``--precision float64`` for very late times.
    Their warm-up begins at a rate of zero: ``--warmup-from-zero``.
    """
    return Run.of(
        operation="addition",
        modulus=113,
        train_fraction=0.3,
        layers=1,
        norm="none",
        positions="learned",
        operator_token=False,
        mlp_biases=True,
        initialization="nanda",
        batch_size="full",
        steps=40_000,
    )


@preset(source="Gromov 2023; settings of Doshi et al. 2023")
def gromov() -> Run:
    """A network that can be solved by hand: one-hot inputs, one quadratic hidden layer of 500, squared error, full batch (Gromov 2023)."""
    return Run.of(
        operation="addition",
        modulus=97,
        train_fraction=0.5,
        architecture="mlp(inputs='one_hot')",
        layers=1,
        mlp_width=500,
        activation="quadratic",
        initialization="gromov",
        loss="squared_error",
        batch_size="full",
        learning_rate=0.01,
        weight_decay=5.0,
        warmup=0,
        steps=2_000,
    )


@preset(source="Chughtai et al. 2023, arXiv 2302.03025")
def chughtai_s5_mlp() -> Run:
    """Composition in S₅ by an MLP with two embeddings of 256 and 128 hidden units, 40 %, full batch AdamW (Chughtai et al. 2023).

    Their 50 seeds generalized between 38,675 and 218,023 updates, with a loss in float64 where this one is of the run's precision.
    """
    return Run.of(
        operation="s5_product",
        train_fraction=0.4,
        architecture="mlp(inputs='concatenated')",
        layers=1,
        width=256,
        mlp_width=128,
        initialization="normal",
        batch_size="full",
        warmup=0,
        steps=250_000,
    )


@preset(source="Liu et al. 2023, Omnigrok, arXiv 2210.01117")
def omnigrok() -> Run:
    """Grokking undone: initial weights times 0.8, their norm held fixed, no decay, float64, addition mod 113 (Liu et al. 2023)."""
    return nanda().replace(initial_scale=0.8, weight_decay=0.0, interventions=("norm_clamp",), precision="float64", warmup=0, steps=15_000)


@preset(source="Lee et al. 2024, arXiv 2405.20233")
def grokfast() -> Run:
    """Slow gradients amplified: multiplication mod 97 at 50 %, GELU, Adam with decay 0.005, averages of 0.98, strength 2 (Lee et al. 2024).

    The network is Power's with GELU, where theirs is a GPT-like one, and x is not 0 either: 9,216 cells where they have 9,312. Their
    warm-up begins at a rate of zero: ``--warmup-from-zero``.
    """
    return Run.of(
        operation="multiplication",
        activation="gelu",
        optimizer="adam",
        weight_decay=0.005,
        interventions=("grokfast_ema(alpha=0.98, strength=2.0)",),
        batch_size=512,
        steps=300_000,
    )


def _prieto() -> Run:
    """What the two recipes of Prieto et al. share: addition mod 113 at 40 %, an MLP of two layers of 200 on one-hot inputs, full batch."""
    return Run.of(
        operation="addition",
        modulus=113,
        train_fraction=0.4,
        architecture="mlp(inputs='one_hot')",
        layers=2,
        mlp_width=200,
        batch_size="full",
        learning_rate=0.01,
        weight_decay=0.0,
        warmup=0,
    )


@preset(source="Prieto et al. 2025, Grokking at the edge of numerical stability")
def prieto_orthograd() -> Run:
    """No gradient along the weights: OrthoGrad with AdamW and without decay, addition mod 113 at 40 % (Prieto et al. 2025).

    Their budget is 300 updates. The paper states betas 0.9 and 0.99 and eps 10⁻²⁵; the released runs used the optimizer's own, as here.
    The first layer is two tensors here, one for each place, and each has an orthogonal gradient of its own.
    """
    return _prieto().replace(interventions=("orthograd",), betas=(0.9, 0.999), steps=5_000)


@preset(source="Prieto et al. 2025, Grokking at the edge of numerical stability")
def prieto_stablemax() -> Run:
    """No softmax collapse: the StableMax loss with AdamW and without decay, addition mod 113 at 40 % (Prieto et al. 2025)."""
    return _prieto().replace(loss="stablemax", optimizer="adamw(eps=1e-25)", betas=(0.9, 0.999), steps=100_000)


@preset(source="Jordan et al. 2024; Tveit et al. 2025, arXiv 2504.16041")
def muon() -> Run:
    """The paper's task with Muon for the hidden matrices and AdamW for the rest (Jordan et al. 2024)."""
    return Run.of(optimizer="muon")


@preset(source="groklab, LOG.md, 2026-11-23")
def quick_transformer() -> Run:
    """One layer of width 64 with Muon, decay 1: of all recipes tried on addition mod 31 the transformer that generalizes soonest."""
    return Run.of(
        operation="addition",
        modulus=31,
        train_fraction=0.6,
        layers=1,
        width=64,
        optimizer="muon(other_learning_rate=0.003)",
        weight_decay=1.0,
        steps=6_000,
    )


def preset_named(name: str) -> Run:
    """The run of a preset; ValueError with the nearest names for an unknown one."""
    return look_up("preset", name).function()
