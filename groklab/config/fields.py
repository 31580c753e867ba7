"""The fields of a run: small frozen dataclasses whose leaves have unique names, with what each may be and what it stands for when unset."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from groklab import registry
from groklab.config.checks import at_least, between, fraction, positive
from groklab.config.table_file import READERS
from groklab.text.numbers import GROKKED
from groklab.text.values import shown


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is to be learned: a table, and which of its cells are shown."""

    operation: str = "division"
    """Name of the operation; `groklab list operations` has them all."""
    modulus: int | None = field(default=None, metadata={"check": at_least(2)})
    """Elements of a modular table; 97 unless given. Does not apply to groups and files."""
    group: str | None = None
    """The group of group_product, group_conjugation and group_sandwich, such as "symmetric(4)"."""
    expression: str | None = None
    """A formula in x, y and n, such as "x**2 + 3*x*y + 5"; implies the operation `expression`."""
    file: str | None = None
    """A CSV file, with columns x, y, z or a matrix; implies the operation `from_file`."""
    reader: int | None = field(default=None, metadata={"check": between(1, READERS)})
    """Version of the reader of files: 1 takes every name as it stands, 2 knows matrices and marks of blanks; the newest unless given."""
    train_fraction: float = field(default=0.5, metadata={"check": fraction()})
    """Share of the known cells that is trained on, in (0, 1)."""
    outliers: int | float = field(default=0, metadata={"check": at_least(0)})
    """Training cells whose answer is replaced by a wrong one: a whole number of cells, or a share in (0, 1) of the training cells."""
    mirror_pairs: Literal["apart", "together"] = "apart"
    """apart: every cell is drawn by itself; together: (x, y) and (y, x) fall on the same side of the split."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """What learns: the paper's network unless a field says otherwise."""

    architecture: str = "transformer"
    """Name of the network; `groklab list architectures` has them all."""
    layers: int = field(default=2, metadata={"check": between(1, 64)})
    """Number of blocks."""
    width: int = field(default=128, metadata={"check": between(1, 16384)})
    """Width of the residual stream (E)."""
    heads: int = field(default=4, metadata={"check": at_least(1)})
    """Attention heads (H); must divide the width."""
    mlp_width: int | None = field(default=None, metadata={"check": at_least(1)})
    """Hidden units of each MLP (F); 4 × width unless given."""
    norm: Literal["post", "pre", "none"] = "post"
    """LayerNorm after each residual sum (post), before each sublayer and the output (pre), or nowhere (none)."""
    positions: Literal["sinusoidal", "learned", "none"] = "sinusoidal"
    """What tells the tokens' places apart."""
    activation: Literal["relu", "gelu", "quadratic"] = "relu"
    """Nonlinearity of the MLP; quadratic is x²."""
    biases: bool = False
    """Whether all linear layers have biases (LayerNorm always has one)."""
    mlp_biases: bool = False
    """Whether the linear layers of the MLPs have biases."""
    begin_token: bool = False
    """Whether a begin token stands in front of the equation."""
    operator_token: bool = True
    """Whether ∘ is a token; without it the network reads a b = (Nanda et al. 2023)."""
    attention: Literal["learned", "frozen", "uniform"] = "learned"
    """learned; frozen: queries and keys stay as they began; uniform: the mean over the tokens seen, without queries and keys (Zhong et al. 2023, who take the sum)."""
    initialization: Literal["torch", "normal", "nanda", "gromov"] = "torch"
    """PyTorch's default; normal: N(0, 1/fan-in), biases 0; nanda: N(0, 1/width), output N(0, 1/vocabulary), biases 0; gromov: standard deviation 0.5 / (2 F)^⅓."""
    initial_scale: float = field(default=1.0, metadata={"check": positive()})
    """Factor on every initial parameter (Liu et al. 2023, Omnigrok)."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the parameters change from step to step."""

    optimizer: str = "adamw"
    """Name of the optimizer, with its own settings if any; `groklab list optimizers` has them all."""
    learning_rate: float | None = field(default=None, metadata={"check": positive()})
    """Step size after the warm-up; the optimizer's usual one unless given (Adam and AdamW: 0.001)."""
    weight_decay: float | None = field(default=None, metadata={"check": at_least(0)})
    """Weight decay; the optimizer's usual one unless given (AdamW: 1, Adam: 0)."""
    decay_parameters: tuple[str, ...] = ("*",)
    """Parameters that decay, as patterns of their names such as "blocks.*"; all by default."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay rates of Adam's first and second moment."""
    warmup: int = field(default=10, metadata={"check": between(0, 10**9)})
    """Updates over which the rate rises linearly: update k, counted from 1, uses the rate × min(1, k / warmup)."""
    warmup_from_zero: bool = False
    """Rise as the official implementation does, rate × min(1, (k − 1) / warmup), so that the first update changes nothing."""
    schedule: str = "constant"
    """Factor on the rate after the warm-up; `groklab list schedules` has them all."""
    batch_size: int | Literal["half", "full"] = field(default="half", metadata={"check": at_least(1)})
    """Examples per update: a number, `full`, or `half`: the paper's min(512, ⌈n_train / 2⌉)."""
    loss: str = "cross_entropy"
    """What is minimized; `groklab list losses` has them all."""
    interventions: tuple[str, ...] = ()
    """Changes to training, each a call such as "weight_noise(std=0.01)"; applied in this order."""
    precision: Literal["float32", "float64"] = "float32"
    """Number format of parameters and activations; losses are always summed in float64."""


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Named random streams; each follows the seed unless it has one of its own."""

    seed: int = field(default=0, metadata={"check": between(0, 2**63 - 1)})
    """Seed of all streams."""
    split_seed: int | None = field(default=None, metadata={"check": between(0, 2**63 - 1)})
    """Seed of the choice of training cells."""
    labels_seed: int | None = field(default=None, metadata={"check": between(0, 2**63 - 1)})
    """Seed of the outliers."""
    weights_seed: int | None = field(default=None, metadata={"check": between(0, 2**63 - 1)})
    """Seed of the initial weights."""
    order_seed: int | None = field(default=None, metadata={"check": between(0, 2**63 - 1)})
    """Seed of the order of the batches."""
    noise_seed: int | None = field(default=None, metadata={"check": between(0, 2**63 - 1)})
    """Seed of all noise injected while training."""

    def of(self, stream: Stream) -> int:
        """The seed that a stream uses."""
        own: int | None = getattr(self, f"{stream}_seed")
        return self.seed if own is None else own


Stream = Literal["split", "labels", "weights", "order", "noise"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How far to train and what to write down on the way; none of it changes the history."""

    steps: int = field(default=100_000, metadata={"check": between(1, 10**9)})
    """Optimizer updates at most."""
    stop: str = "generalized(confirmations=3)"
    """Rule that may end training earlier; `never` uses the whole budget. `groklab list stops` has them all."""
    threshold: float = field(default=GROKKED, metadata={"check": fraction(one_allowed=True)})
    """Accuracy that counts as memorized and as generalized."""
    evaluations_per_decade: int = field(default=25, metadata={"check": between(1, 1000)})
    """Evaluations for every factor of ten in steps, besides step 0 and the last."""
    checkpoints_per_decade: int = field(default=8, metadata={"check": between(0, 1000)})
    """Checkpoints for every factor of ten in steps; 0: step 0 and the last only."""
    measures: tuple[str, ...] = ("weight_norm",)
    """Measures taken at every evaluation; `groklab list measures` has them all."""
    device: str = field(default="auto", metadata={"check": None})
    """auto (CUDA where present, else CPU), cpu, cuda, cuda:N or mps."""
    path: Literal["auto", "compiled", "batched", "reference"] = "auto"
    """What computes the gradients: compiled kernels where they can be used, else the batched network; the reference is slow."""


PARTS: dict[str, type] = {"task": Task, "model": Model, "training": Training, "seeds": Seeds, "budget": Budget}
GROUPS: tuple[str, ...] = tuple(PARTS)


@dataclass(frozen=True, kw_only=True)
class Fields:
    """All fields of a run, in their five parts; ``Run`` adds its identity and its checks."""

    task: Task = field(default_factory=Task)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    seeds: Seeds = field(default_factory=Seeds)
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        for name, kind in PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"Run: {name}: got {shown(getattr(self, name))}; expected a {kind.__name__}. Run.of takes the fields by their names."
                )

    def flat(self) -> dict[str, Any]:
        """All leaves by name."""
        return {leaf: getattr(getattr(self, group), leaf) for leaf, group in leaves().items()}

    def resolved(self) -> dict[str, Any]:
        """All leaves by name, with the value that an unset field stands for (a modulus of 97, AdamW's decay of 1, …)."""
        return resolved(self.flat())


@lru_cache(maxsize=1)
def leaves() -> dict[str, str]:
    """Name of every leaf -> the part of the run that holds it."""
    return {f.name: group for group, part in PARTS.items() for f in dataclasses.fields(part)}


def operation_is_modular(name: str) -> bool:
    """Whether an operation takes a modulus; ValueError for an unknown one."""
    return registry.look_up("operation", name).facts.get("over", "modulus") == "modulus"


def resolved(values: dict[str, Any]) -> dict[str, Any]:
    """Leaves by name with what unset ones stand for."""
    if values["modulus"] is None and operation_is_modular(values["operation"]):
        values["modulus"] = 97
    if values["mlp_width"] is None:
        values["mlp_width"] = 4 * values["width"]
    usual = registry.look_up("optimizer", registry.parse_call(values["optimizer"]).name).facts
    for name in ("learning_rate", "weight_decay"):
        if values[name] is None:
            values[name] = usual[name]
    return values
