"""The run as a frozen value: its identity, its checks, and its form on disk."""

import dataclasses
import json
import math
import pickle

import numpy as np
import pytest

from groklab.config.checks import RunError
from groklab.config.fields import GROUPS, leaves
from groklab.config.run import Run

GOLDEN = {
    "division-97-f0.50-s0-44136fa3": {},
    "division-97-f0.50-s3-4d687b64": {"seed": 3},
    "addition-97-f0.50-s3-7b315c77": {"operation": "addition", "seed": 3},
    "s5_product-f0.50-s0-2f2507a0": {"operation": "s5_product"},
    "group_product-dihedral_4-f0.50-s0-92c7289a": {"group": "dihedral(4)"},
    "expression-23-f0.50-s0-c8aec440": {"expression": "x**2 + x*y", "modulus": 23},
    "division-97-f0.50-s0-093a6d64": {"optimizer": "adam", "weight_decay": 0.0},
    "addition-7-f0.3333333333333333-s0-43f65b7d": {
        "operation": "addition",
        "modulus": 7,
        "width": 16,
        "layers": 1,
        "train_fraction": 1 / 3,
    },
    "division-97-f0.50-s0-fd9fc49d": {
        "outliers": 0.1,
        "betas": (0.9, 0.999),
        "batch_size": "full",
        "precision": "float64",
        "order_seed": 7,
    },
}

ANOTHER = {
    "operation": "addition",
    "modulus": 89,
    "train_fraction": 0.4,
    "outliers": 10,
    "mirror_pairs": "together",
    "layers": 1,
    "width": 64,
    "heads": 2,
    "mlp_width": 100,
    "norm": "pre",
    "positions": "learned",
    "activation": "gelu",
    "biases": True,
    "mlp_biases": True,
    "begin_token": True,
    "operator_token": False,
    "attention": "uniform",
    "initialization": "normal",
    "initial_scale": 2.0,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "weight_decay": 0.5,
    "decay_parameters": ("blocks.*",),
    "betas": (0.9, 0.99),
    "warmup": 0,
    "warmup_from_zero": True,
    "batch_size": 100,
    "precision": "float64",
    "seed": 1,
    "split_seed": 1,
    "labels_seed": 1,
    "weights_seed": 1,
    "order_seed": 1,
    "noise_seed": 1,
}
ELSEWHERE = {"group", "expression", "file", "reader", "architecture", "schedule", "loss", "interventions"}
"""Fields whose other values are tested by name below, or that have none yet."""

UNIMPORTANT = {
    "steps": 7,
    "stop": "never",
    "threshold": 0.5,
    "evaluations_per_decade": 3,
    "checkpoints_per_decade": 0,
    "measures": (),
    "device": "cuda:3",
    "path": "batched",
}


# — identity —


@pytest.mark.parametrize(("identity", "fields"), GOLDEN.items())
def test_ids_never_change(identity, fields):
    assert Run.of(**fields).id == identity


def test_every_field_is_known_to_matter_or_not():
    assert set(leaves()) == set(ANOTHER) | set(UNIMPORTANT) | ELSEWHERE


@pytest.mark.parametrize("name", ANOTHER)
def test_a_field_that_can_change_the_history_changes_the_id(name):
    assert Run.of(**{name: ANOTHER[name]}).id != Run().id


def test_ids_of_single_changes_are_all_different():
    assert len({Run.of(**{name: value}).id for name, value in ANOTHER.items()}) == len(ANOTHER)


@pytest.mark.parametrize("name", UNIMPORTANT)
def test_a_field_that_cannot_change_the_history_leaves_the_id_alone(name):
    assert Run.of(**{name: UNIMPORTANT[name]}).id == Run().id


@pytest.mark.parametrize(("name", "value"), [*Run().flat().items(), *((k, v) for k, v in Run().resolved().items() if v is not None)])
def test_a_default_given_explicitly_leaves_the_id_alone(name, value):
    assert Run.of(**{name: value}).id == Run().id


@pytest.mark.parametrize("name", ["split_seed", "labels_seed", "weights_seed", "order_seed", "noise_seed"])
def test_a_stream_that_has_the_seed_of_all_leaves_the_id_alone(name):
    assert Run.of(seed=5, **{name: 5}).id == Run.of(seed=5).id
    assert Run.of(seed=5, **{name: 0}).id != Run.of(seed=5).id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"weight_decay": 2}, {"weight_decay": 2.0}),
        ({"learning_rate": 1}, {"learning_rate": 1.0}),
        ({"initial_scale": 2}, {"initial_scale": 2.0}),
        ({"betas": [0, 0.5]}, {"betas": (0.0, 0.5)}),
        ({"optimizer": "adamw()"}, {}),
        ({"optimizer": " adamw( eps=1e-8 )"}, {}),
        ({"optimizer": "adamw(eps=1)"}, {"optimizer": "adamw( eps = 1.0 )"}),
        ({"schedule": "constant()", "loss": "cross_entropy( )", "architecture": "transformer()"}, {}),
        ({"operation": "s5_product"}, {"group": "symmetric(5)"}),
        ({"operation": "s5_product"}, {"operation": "group_product", "group": " symmetric( 5 )"}),
        ({"group": "product(cyclic(3),cyclic(4))"}, {"group": "product( cyclic(3), cyclic( 4) )"}),
        ({"expression": "x**2+x*y"}, {"expression": "  (x ** 2) + x*y "}),
        ({"width": 64}, {"width": 64, "mlp_width": 256}),
        ({"optimizer": "adam"}, {"optimizer": "adam", "weight_decay": 0.0, "learning_rate": 0.001}),
    ],
)
def test_two_ways_of_asking_for_one_run_give_one_id(one, other):
    assert Run.of(**one).id == Run.of(**other).id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"group": "symmetric(4)"}, {"group": "dihedral(12)"}),
        ({"group": "symmetric(4)"}, {"operation": "group_conjugation", "group": "symmetric(4)"}),
        ({"expression": "x + y"}, {"expression": "x - y"}),
        ({"expression": "x + y"}, {"operation": "addition"}),
        ({"optimizer": "adamw(eps=1e-6)"}, {}),
        ({"outliers": 1}, {"outliers": 0.001}),
        ({"mlp_width": 512, "width": 64}, {"width": 64}),
        ({"optimizer": "adam", "weight_decay": 1.0}, {"optimizer": "adam"}),
    ],
)
def test_different_runs_have_different_ids(one, other):
    assert Run.of(**one).id != Run.of(**other).id


def test_a_table_from_a_file_enters_by_its_content(tmp_path):
    cells = "x,y,z\n" + "".join(f"{x},{y},{(x + y) % 4}\n" for x in range(4) for y in range(4))
    for name, content in (("a.csv", cells), ("b.csv", cells), ("c.csv", cells.replace("3,3,2", "3,3,1"))):
        (tmp_path / name).write_text(content, encoding="utf-8")
    first, second, third = (Run.of(file=str(tmp_path / name)).id for name in ("a.csv", "b.csv", "c.csv"))
    assert first == second != third


def test_the_id_says_what_it_can():
    assert Run.of(train_fraction=0.123).id.startswith("division-97-f0.123-s0-")
    assert Run.of(group="product(cyclic(3), dihedral(4))", seed=12).id.startswith("group_product-product_cyclic_3_dihedral_4-f0.50-s12-")


# — form —


def test_a_run_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Run().seeds.seed = 3


def test_a_run_survives_its_text():
    run = Run.of(**{**ANOTHER, **UNIMPORTANT})
    assert Run.from_dict(json.loads(json.dumps(run.to_dict()))) == run
    assert list(run.to_dict()) == list(GROUPS)


def test_fields_that_are_absent_from_a_text_have_their_defaults():
    assert Run.from_dict({"seeds": {"seed": 4}}) == Run.of(seed=4)


def test_unknown_fields_are_named_with_the_nearest():
    with pytest.raises(RunError, match=r"(?s)2 things .*weight_decai.*'weight_decay'.*seeed.*'seed'"):
        Run.of(weight_decai=1, seeed=2)
    with pytest.raises(RunError, match=r"(?s)2 things .*modle.*'model'.*task.modulos.*'modulus'"):
        Run.from_dict({"modle": {}, "task": {"modulos": 3}})
    with pytest.raises(RunError, match="seeds: got 3; expected an object"):
        Run.from_dict({"seeds": 3})


def test_expression_file_and_group_imply_their_operation():
    assert Run.of(expression="x").task.operation == "expression"
    assert Run.of(file="a.csv").task.operation == "from_file"
    assert Run.of(group="cyclic(5)").task.operation == "group_product"
    assert Run.of(group="cyclic(5)", operation="group_sandwich").task.operation == "group_sandwich"
    other = Run.of(operation="addition")
    assert other.replace(file="a.csv").task.operation == "from_file"
    assert other.replace(group="cyclic(5)").replace(group="cyclic(7)", seed=1).task.operation == "group_product"
    assert Run.of(operation="group_sandwich", group="cyclic(5)").replace(group="cyclic(7)").task.operation == "group_sandwich"


@pytest.mark.parametrize("fields", [{"expression": "x"}, {"file": "a.csv"}, {"group": "cyclic(5)"}])
def test_an_operation_that_is_asked_for_is_not_replaced(fields):
    run = Run.of(operation="division", **fields)
    (name,) = fields
    assert run.task.operation == "division"
    assert [problem.field for problem in run.problems()] == [name]


def test_numbers_of_numpy_are_pythons():
    asked = {"train_fraction": 1 / 3, "operation": "addition", "modulus": 7, "seed": 3, "betas": (0.9, 0.99)}
    given = asked | {"train_fraction": np.float64(1 / 3), "modulus": np.int64(7), "seed": np.int32(3), "betas": np.array([0.9, 0.99])}
    assert Run.of(**given) == Run.of(**asked)
    assert Run.of(**given).id == Run.of(**asked).id
    assert Run.of(**given).problems() == []


def test_a_run_keeps_its_id_while_the_file_of_its_table_is_edited(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("x,y,z\n" + "".join(f"{x},{y},{(x + y) % 4}\n" for x in range(4) for y in range(4)), encoding="utf-8")
    run = Run.of(file=str(file))
    identity = run.id
    sent = pickle.loads(pickle.dumps(run))
    file.write_text(file.read_text(encoding="utf-8").replace("3,3,2", "3,3,1"), encoding="utf-8")
    assert run.id == sent.id == run.at(str(file)).id == identity
    assert Run.of(file=str(file)).id != identity
    assert run == Run.of(file=str(file))


def test_what_only_a_transformer_has_is_not_asked_of_another_network():
    assert Run.of(architecture="mlp", width=50).problems() == []
    assert Run.of(architecture="mlp", width=51).problems() == []
    assert [problem.field for problem in Run.of(width=51).problems()] == ["heads", "width"]


def test_betas_are_refused_where_the_optimizer_has_none():
    (problem,) = Run.of(optimizer="sgd", betas=(0.9, 0.9)).problems()
    assert "betas: got (0.9, 0.9); expected none, for sgd has no betas" in str(problem)


def test_a_number_beyond_the_range_of_decimals_is_wrong_and_no_crash():
    for field in ("learning_rate", "weight_decay", "initial_scale", "outliers", "warmup", "steps", "width", "train_fraction"):
        assert [problem.field for problem in Run.of(**{field: 10**400}).problems()] == [field]


# — checks —


def test_a_run_without_problems_is_itself():
    run = Run.of(seed=1)
    assert run.check() is run


@pytest.mark.parametrize(
    "wrong",
    [{"optimizer": "nonsense"}, {"operation": "nonsense"}, {"architecture": "transformer("}, {"architecture": "nonsense"}, {"modulus": 0}],
)
def test_what_measures_ask_about_is_reported_once_where_it_is_wrong(wrong):
    run = Run().replace(**wrong, steps=0, measures=("gini", "key_frequencies", "learning_coefficient", "spectrm"))
    problems = run.problems()
    assert {problem.field for problem in problems} == {*wrong, "steps", "measures"}
    assert [problem.value for problem in problems if problem.field == "measures"] == ["spectrm"]


def test_all_problems_are_reported_at_once():
    run = Run.of(operation="additon", train_fraction=1.5, width=30, heads=4, stop="nevr", learning_rate=-1.0, measures=("weight",), seed=-1)
    fields = [problem.field for problem in run.problems()]
    assert sorted(fields) == sorted(["operation", "train_fraction", "heads", "stop", "learning_rate", "measures", "seed"])
    with pytest.raises(RunError) as caught:
        run.check()
    assert "7 things to put right" in str(caught.value)


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("modulus", [1, 0, -5, 2.0, "7", True, 2001]),
        ("train_fraction", [0, 1, -0.1, 1.5, math.nan, math.inf, "half", 1e-9, 1 - 1e-9]),
        ("outliers", [-1, 1.0, 0.0, 1.5, math.nan, 10**6]),
        ("mirror_pairs", ["both", None]),
        ("layers", [0, 65, 1.5]),
        ("width", [0, 10**6]),
        ("heads", [0, 3, -4]),
        ("mlp_width", [0, -1]),
        ("norm", ["layer", None]),
        ("biases", [1, "yes"]),
        ("initial_scale", [0, -1, math.nan, math.inf]),
        ("learning_rate", [0, -1, math.nan, math.inf, "fast"]),
        ("weight_decay", [-1, math.nan, math.inf]),
        ("betas", [(0.9,), (0.9, 1.0), (0.9, math.nan), 0.9, (0.9, 0.9, 0.9)]),
        ("warmup", [-1, 1.5]),
        ("batch_size", [0, -1, "all", 1.5]),
        ("precision", ["float16"]),
        ("seed", [-1, 2**63, 10**30, 1.0, True]),
        ("order_seed", [-1, 2**63]),
        ("steps", [0, -1, 10**10, 1e3]),
        ("stop", ["nevr", "generalized(confirmations=-1)", "generalized(3)", "generalized(confirmation=3)", "never(", ""]),
        ("threshold", [0, 1.1, math.nan]),
        ("evaluations_per_decade", [0, 1001]),
        ("checkpoints_per_decade", [-1]),
        ("measures", [("weight",), ("weight_norm", "weight_norm"), "weight_norm"]),
        ("optimizer", ["adamm", "adamw(epsilon=1)", "adamw(1)"]),
        ("interventions", [("nothing_of_that_name",)]),
        ("device", ["gpu", "cuda:", "cpu:1", ""]),
        ("decay_parameters", ["*", (1,)]),
    ],
)
def test_a_wrong_value_is_named_with_its_field(field, values):
    for value in values:
        problems = Run.of(**{field: value}).problems()
        assert [problem.field for problem in problems] == [field], (value, [str(p) for p in problems])
        assert "expected" in str(problems[0]) or "unknown" in str(problems[0]) or "Known" in str(problems[0]), str(problems[0])
