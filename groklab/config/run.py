"""One training as a frozen value: ``Run``, checked before step 0 and hashed to its name.

A run is a tree of small dataclasses. The names of its leaves are unique, so that the same word is the keyword in Python, the
flag on the command line and the key in ``run.json``:

    Run.of(operation="addition", train_fraction=0.4, seed=3)

What the id depends on: task, model, training, interventions, precision and seeds, each field that differs from its default.
What it does not depend on, because it cannot change the history: budget, stop rule, evaluation and checkpoint spacing, measures,
device.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any, Literal

from groklab import registry
from groklab.config.checks import FieldError, RunError, at_least, between, field_problems, fraction, positive
from groklab.config.dependents import with_its_operation, without_what_does_not_apply
from groklab.config.identity import as_annotated, identity, paper_name
from groklab.config.table_file import READERS, TableFile, table_file
from groklab.text.numbers import GROKKED
from groklab.text.values import as_python, shown


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


_PARTS: dict[str, type] = {"task": Task, "model": Model, "training": Training, "seeds": Seeds, "budget": Budget}
GROUPS: tuple[str, ...] = tuple(_PARTS)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training. Without any argument: the preset ``power_default``, division mod 97 at 50 % with AdamW (Power et al. 2022)."""

    task: Task = field(default_factory=Task)
    model: Model = field(default_factory=Model)
    training: Training = field(default_factory=Training)
    seeds: Seeds = field(default_factory=Seeds)
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise TypeError(
                    f"Run: {name}: got {shown(getattr(self, name))}; expected a {kind.__name__}. Run.of takes the fields by their names."
                )

    @classmethod
    def of(cls, start: Run | None = None, /, **fields: Any) -> Run:
        """A run from the names of its leaves: ``Run.of(operation="addition", seed=3)``; RunError for unknown names and wrong types."""
        if start is not None and not isinstance(start, Run):
            raise TypeError(f"Run.of: start: got {shown(start)}; expected a Run, such as that of a preset.")
        run = start or cls()
        places = leaves()
        problems: list[FieldError] = []
        changes: dict[str, dict[str, Any]] = {}
        for name, value in fields.items():
            if name not in places:
                problems.append(FieldError(name, value, "a field of a run", registry.nearest(name, list(places))))
                continue
            changes.setdefault(places[name], {})[name] = _frozen(value)
        if problems:
            raise RunError(problems)
        groups = {g: dataclasses.replace(getattr(run, g), **new) for g, new in changes.items()}
        return dataclasses.replace(run, **groups).implied(fields)

    def replace(self, **fields: Any) -> Run:
        """This run with some leaves changed."""
        return Run.of(self, **fields)

    def implied(self, given: Collection[str]) -> Run:
        """This run with the operation that an expression, a file or a group among the given fields implies, unless they name one.

        What does not apply to the table, optimizer or network among the given fields and was not given either is at its default again.
        """
        return without_what_does_not_apply(with_its_operation(self, given), given)

    def at(self, file: str) -> Run:
        """This run with its table's file in another place; the table that was asked for stays the same."""
        moved = dataclasses.replace(self, task=dataclasses.replace(self.task, file=file))
        vars(moved)["table_file"] = self.table_file
        return moved

    def flat(self) -> dict[str, Any]:
        """All leaves by name."""
        return {leaf: getattr(getattr(self, group), leaf) for leaf, group in leaves().items()}

    def resolved(self) -> dict[str, Any]:
        """All leaves by name, with the value that an unset field stands for (a modulus of 97, AdamW's decay of 1, …)."""
        return _resolved(self.flat())

    # — identity —

    @cached_property
    def table_file(self) -> TableFile:
        """Content and reader of the table's file, as it was when this run was first asked for it: an edit does not change its id."""
        if self.task.file is None:
            raise ValueError(f"table_file: got a run of {self.task.operation}; expected one whose table comes from a file.")
        return table_file(self.task.file, self.task.reader)

    @property
    def table_hash(self) -> str:
        """Hash of the file that the table comes from."""
        return self.table_file.hash

    def canonical(self) -> dict[str, Any]:
        """What the id is the hash of: every field that can change the history and differs from its default."""
        values = self.resolved()
        default = _resolved(_usual() | {name: values[name] for name in ("optimizer", "operation", "width")})
        kept = {
            name: value
            for name, value in values.items()
            if leaves()[name] != "budget" and (value != default[name] or name in ("operation", "optimizer", "width"))
        }
        for name, usual in (("operation", Task.operation), ("optimizer", Training.optimizer), ("width", Model.width)):
            if kept[name] == usual:
                del kept[name]
        for name in _STREAM_SEEDS:
            if kept.get(name) == values["seed"]:
                del kept[name]
        kept.pop("reader", None)
        if "file" in kept:
            kept |= self.table_file.canonical()
        if "group" in kept:
            kept["group"] = registry.canonical_call("group", kept["group"])
        if "expression" in kept:
            kept["expression"] = ast.unparse(ast.parse(kept["expression"].strip(), mode="eval"))
        for name, kind in (("optimizer", "optimizer"), ("schedule", "schedule"), ("loss", "loss"), ("architecture", "architecture")):
            if name in kept:
                kept[name] = registry.canonical_call(kind, kept[name])
                if kept[name] == _usual()[name]:  # the default written another way, as in adamw( )
                    del kept[name]
        if "interventions" in kept:
            kept["interventions"] = [registry.canonical_call("intervention", call) for call in kept["interventions"]]
        entry = registry.look_up("operation", values["operation"])
        if entry.source_hash is not None:
            kept["operation"] = f"{entry.name}@{entry.source_hash}"
        alias = paper_name(kept)
        if alias is not None:
            kept.pop("group", None)
            kept["operation"] = alias
        return {name: as_annotated(name, value) for name, value in sorted(kept.items())}

    @property
    def id(self) -> str:
        """Readable prefix and hash, such as ``division-97-f0.50-s0-3f2a91c4``; equal runs have equal ids on every machine."""
        return identity(self.canonical(), self.resolved())

    # — as text —

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The whole tree, as ``from_dict`` reads it."""
        tree = dataclasses.asdict(self)
        return {g: {k: list(v) if isinstance(v, tuple) else v for k, v in tree[g].items()} for g in GROUPS}

    @classmethod
    def from_dict(cls, tree: Mapping[str, Any]) -> Run:
        """Read what ``to_dict`` wrote; RunError names unknown groups and fields. Fields that are absent have their defaults."""
        if not isinstance(tree, Mapping):
            raise TypeError(f"Run.from_dict: got {shown(tree)}; expected what Run.to_dict gives.")
        problems = [
            FieldError(group, tree[group], "a part of a run", registry.nearest(group, list(GROUPS)))
            for group in tree
            if group not in GROUPS
        ]
        flat: dict[str, Any] = {}
        for group in GROUPS:
            part = tree.get(group, {})
            if not isinstance(part, Mapping):
                problems.append(FieldError(group, part, "an object with the fields of a run"))
                continue
            for name, value in part.items():
                if leaves().get(str(name)) != group:
                    problems.append(FieldError(f"{group}.{name}", value, "a field of a run", registry.nearest(str(name), list(leaves()))))
                else:
                    flat[str(name)] = value
        if problems:
            raise RunError(problems)
        return cls.of(**flat)

    # — checks —

    def problems(self) -> list[FieldError]:
        """Everything that is wrong with this run, all at once; empty where it can be trained."""
        found = [p for group in GROUPS for p in field_problems(getattr(self, group))]
        wrong = {p.field for p in found}
        from groklab.config.consistency import across_fields  # which needs Run

        return found + [p for p in across_fields(self, wrong) if p.field not in wrong]

    def check(self) -> Run:
        """This run, if nothing is wrong with it; RunError with every problem otherwise."""
        found = self.problems()
        if found:
            raise RunError(found)
        return self


_STREAM_SEEDS = ("split_seed", "labels_seed", "weights_seed", "order_seed", "noise_seed")


@lru_cache(maxsize=1)
def leaves() -> dict[str, str]:
    """Name of every leaf -> the part of the run that holds it."""
    return {f.name: group for group, part in _PARTS.items() for f in dataclasses.fields(part)}


def operation_is_modular(name: str) -> bool:
    """Whether an operation takes a modulus; ValueError for an unknown one."""
    return registry.look_up("operation", name).facts.get("over", "modulus") == "modulus"


def _frozen(value: Any, depth: int = 5) -> Any:
    """A list as a tuple, and those in it; what lies deeper than any field's value is left to the check of types."""
    value = as_python(value)
    return tuple(_frozen(v, depth - 1) for v in value) if depth and isinstance(value, (list, tuple)) else value


@lru_cache(maxsize=1)
def _usual() -> dict[str, Any]:
    """All leaves of the default run."""
    return Run().flat()


def _resolved(values: dict[str, Any]) -> dict[str, Any]:
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
