"""Experiments of work that came after the paper: each a published table or picture with its own claims."""

from __future__ import annotations

from typing import Any

from groklab.config.experiments import SOON, Scale, Settings, runs_of
from groklab.config.presets import chughtai_s5_mlp, grokfast, gromov, nanda, omnigrok
from groklab.config.run import Run
from groklab.registry import experiment


def _varied(start: Run, *, seeds: int, **fields: Any) -> list[Run]:
    """The runs of a preset with some fields changed, for the first so many seeds."""
    return [start.replace(seed=seed, checkpoints_per_decade=0, **fields) for seed in range(seeds)]


_TINY: dict[str, Any] = {"modulus": 7, "width": 16, "heads": 2, "train_fraction": 0.7, "steps": 40}


@experiment(
    figure="curves_by_setting", source="Nanda et al. 2023, arXiv 2301.05217",
    measures=("key_frequencies", "restricted_loss", "excluded_loss"),
)  # fmt: skip
def nanda_progress_measures(scale: Scale) -> Settings:
    """Addition mod 113 by one layer without norm, full batch: few key frequencies, and a loss that rests on them (Nanda et al. 2023).

    ``groklab replicate nanda_progress_measures --scale laptop``. Published: 3 to 5 key frequencies, phases until updates 1,400, 9,400 and
    14,000, a loss of the key frequencies alone below that of the whole network. Cost: laptop at most 0.7 core hours (three seeds,
    1.5·10⁴ updates), paper at most 3 (five seeds, 4·10⁴).
    """
    if scale == "smoke":
        return {"one layer": _varied(nanda(), seeds=1, **_TINY)}
    seeds, steps, stop = (3, 15_000, SOON["stop"]) if scale == "laptop" else (5, 40_000, "never")
    return {"one layer": _varied(nanda(), seeds=seeds, steps=steps, stop=stop)}


@experiment(figure="curves_by_setting", source="Chughtai et al. 2023, arXiv 2302.03025")
def chughtai_s5(scale: Scale) -> Settings:
    """Composition in S₅ by an MLP at 40 %, full batch: every seed groks, at times that differ by a factor of six (Chughtai et al. 2023).

    ``groklab replicate chughtai_s5 --scale laptop``. Published, 50 seeds: memorized at 329 to 346 updates, generalized at 38,675 to 218,023,
    median 93,556. Cost: laptop at most 0.1 core hours (five seeds until they have memorized), paper at most 130 (50 seeds, 2.5·10⁵ updates).
    """
    if scale == "smoke":
        tiny: dict[str, Any] = {"operation": "group_product", "group": "symmetric(3)", "width": 16, "mlp_width": 16, "train_fraction": 0.7}
        return {"MLP": _varied(chughtai_s5_mlp(), seeds=1, steps=40, **tiny)}
    if scale == "laptop":
        return {"MLP": _varied(chughtai_s5_mlp(), seeds=5, steps=1_000)}
    return {"MLP": _varied(chughtai_s5_mlp(), seeds=50, steps=250_000)}


@experiment(figure="curves_by_setting(threshold=0.95)", source="Lee et al. 2024, arXiv 2405.20233, Table 3")
def grokfast_table(scale: Scale) -> Settings:
    """Multiplication mod 97 at 50 % by Adam with little decay, with and without Grokfast's two filters (Lee et al. 2024, Table 3).

    ``groklab replicate grokfast_table --scale laptop``. Published, one run each, 95 % validation accuracy: 39,890 updates without, 910 with
    averages that fade, 790 with averages of a window. The published code has no decay by default, its filtered runs 0.005 and 0.01: Adam alone
    with each of the three decays tells what the filters do and what the decay does. Cost: laptop at most 0.7 core hours (five seeds, 5,000
    updates), paper at most 28 (five seeds, 3·10⁵ updates).
    """
    faded, window = ("grokfast_ema(alpha=0.98, strength=2.0)",), ("grokfast_ma(window=100, strength=5.0)",)
    fields: dict[str, dict[str, Any]] = {
        "Adam, decay 0.005": {"interventions": ()},
        "with Grokfast (EMA)": {"interventions": faded},
        "with Grokfast (MA), decay 0.01": {"interventions": window, "weight_decay": 0.01},
        "Adam, decay 0.01": {"interventions": (), "weight_decay": 0.01},
        "Adam, no decay": {"interventions": (), "weight_decay": 0.0},
    }
    if scale == "smoke":
        tiny: dict[str, Any] = _TINY | {"layers": 1, "batch_size": 16}
        return {name: _varied(grokfast(), seeds=1, **tiny, **some) for name, some in fields.items()}
    steps, stop = (5_000, SOON["stop"]) if scale == "laptop" else (300_000, grokfast().budget.stop)
    return {name: _varied(grokfast(), seeds=5, steps=steps, stop=stop, threshold=0.95, **some) for name, some in fields.items()}


@experiment(figure="curves_by_setting", source="Tveit et al. 2025, arXiv 2504.16041")
def muon_table(scale: Scale) -> Settings:
    """Addition and division mod 97 at 50 % by AdamW and by Muon, both with weight decay 1 (after Tveit et al. 2025).

    ``groklab replicate muon_table --scale laptop``. Published, over seven tasks and three softmaxes: mean grokking epoch 102.9 with Muon,
    153.1 with AdamW. Settings differ: theirs are not public, and Muon with its usual small decay does not generalize here (LOG.md). Muon leaves all that is
    no hidden matrix to AdamW at 3·10⁻³, so that AdamW alone is trained at that rate too, besides its usual 10⁻³. Cost: laptop at most 1.1 core hours
    (five seeds, 10⁴ updates), paper at most 22 (ten seeds, 10⁵ updates).
    """
    muon: dict[str, Any] = {"optimizer": "muon(other_learning_rate=0.003)", "weight_decay": 1.0}
    kinds: dict[str, dict[str, Any]] = {"AdamW": {}, "AdamW at 3·10⁻³": {"learning_rate": 0.003}, "Muon": muon}
    tasks = {"x + y": "addition", "x / y": "division"}
    if scale == "smoke":
        tiny: dict[str, Any] = {"modulus": 7, "train_fraction": 0.7, "steps": 40, "seeds": 1, "layers": 1, "width": 16, "heads": 2}
        return {
            f"{label}, {kind}": runs_of(operation=name, **tiny, **some) for label, name in tasks.items() for kind, some in kinds.items()
        }
    seeds, steps, more = (5, 10_000, SOON) if scale == "laptop" else (10, 100_000, dict[str, Any]())
    fixed: dict[str, Any] = {"train_fraction": 0.5, "seeds": seeds, "steps": steps, **more}
    return {f"{label}, {kind}": runs_of(operation=name, **fixed, **some) for label, name in tasks.items() for kind, some in kinds.items()}


@experiment(figure="curves_by_setting", source="Liu et al. 2023, Omnigrok, arXiv 2210.01117")
def omnigrok_norms(scale: Scale) -> Settings:
    """Grokking undone: addition mod 113 with initial weights times 0.8 and their norm held fixed, against the usual recipe (Liu et al. 2023).

    ``groklab replicate omnigrok_norms --scale laptop``. Published: with the norm held fixed validation follows training at once. Cost:
    laptop at most 0.4 core hours (of each one seed, 5,000 and 1.5·10⁴ updates), paper at most 3.1 (five seeds, 1.5·10⁴ updates).
    """
    if scale == "smoke":
        return {"usual": _varied(nanda(), seeds=1, **_TINY), "norm held fixed": _varied(omnigrok(), seeds=1, **_TINY)}
    if scale == "laptop":
        usual = _varied(nanda(), seeds=1, steps=15_000, stop=SOON["stop"])
        return {"usual": usual, "norm held fixed": _varied(omnigrok(), seeds=1, steps=5_000, stop=SOON["stop"])}
    return {"usual": _varied(nanda(), seeds=5, steps=15_000), "norm held fixed": _varied(omnigrok(), seeds=5, steps=15_000)}


@experiment(
    figure="curves_by_setting(loss_name='squared error')", source="Gromov 2023; Doshi et al. 2023", results=("train_accuracy_corrupted",)
)
def gromov_mlp(scale: Scale) -> Settings:
    """One quadratic layer, squared error and strong decay: generalizes within a hundred updates, wrong labels or not (Gromov 2023; Doshi et al. 2023).

    ``groklab replicate gromov_mlp --scale laptop``. Published: with decay 5 all validation cells within 100 full-batch updates; with 35 % of the
    labels wrong, accuracy on them as labeled and on validation cells 0.978 and 0.983 with decay 0, 0.786 and 1.00 with 5, 0.654 and 1.00 with 15.
    Cost: laptop at most 0.3 core hours (four settings, five seeds, at most 2,000 updates), paper the same.
    """
    wrong: dict[str, dict[str, Any]] = {
        f"35 % wrong, decay {decay:g}": {"weight_decay": decay, "outliers": 0.35} for decay in (0.0, 5.0, 15.0)
    }
    if scale == "smoke":
        tiny: dict[str, Any] = {"modulus": 7, "mlp_width": 32, "train_fraction": 0.7, "steps": 40}
        return {
            "decay 5": _varied(gromov(), seeds=1, **tiny),
            **{name: _varied(gromov(), seeds=1, **tiny, **some) for name, some in wrong.items()},
        }
    return {
        "decay 5": _varied(gromov(), seeds=5, steps=300),
        **{name: _varied(gromov(), seeds=5, steps=2_000, stop="never", **some) for name, some in wrong.items()},
    }
