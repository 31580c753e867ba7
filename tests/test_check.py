"""`groklab check`: what a user's file registers is tried as groklab's own parts are; what is wrong is said in a sentence."""

import json

import pytest

from groklab import registry
from groklab.cli import main

GOOD = '''
from groklab import architecture, claim, experiment, figure, group, intervention, loss, measure, operation, optimizer, preset, schedule, stop
from groklab.config.run import Run


@operation(symbol="2x + y (mod n)")
def my_sum(x, y, n):
    """Twice x plus y (mine)."""
    return (2 * x + y) % n


@schedule()
def my_fading(step, *, horizon=100):
    """Factor that halves every horizon (mine)."""
    return 0.5 ** (step / horizon)


@loss()
def my_squares(logits, answers):
    """Squared distance to one and zero (mine)."""
    right = logits.gather(-1, answers[..., None].long())[..., 0]
    return (logits**2).sum(-1) - 2 * right + 1


@intervention(at="gradient", memory=True)
def my_average(gradient, memory, *, fading=0.5):
    """Fading average of the gradient (mine)."""
    average = gradient if memory is None else fading * memory + (1 - fading) * gradient
    return average, average


@stop()
def my_stop(history, threshold):
    """Stops at the third evaluation (mine)."""
    return history[2]["step"] if len(history) > 2 else None


@measure(label="largest weight")
def my_largest(parameters, task):
    """Largest weight (mine)."""
    return float(parameters.flat.abs().max())


@preset(source="mine")
def my_recipe():
    """Addition mod 31 with a narrow network (mine)."""
    return Run.of(operation="addition", modulus=31, width=64, heads=2)


@figure(needs=("step", "train_loss"), takes="history")
def my_picture(history):
    """Training loss against steps (mine)."""
    from matplotlib.figure import Figure

    drawing = Figure()
    drawing.subplots().plot(history["step"], history["train_loss"])
    return drawing


@experiment(figure="learning_curves", source="mine")
def my_experiment(scale):
    """Two fractions of one table (mine)."""
    return {"x + y": [Run.of(operation="addition", modulus=7, train_fraction=f, steps=100) for f in (0.4, 0.6)]}
'''

WRONG = {
    "operation": (
        'from groklab import operation\n\n@operation(symbol="x + y")\ndef mine(x, y, n):\n    """Sum without a remainder (mine)."""\n    return x + y\n',
        "Reduce in the function",
    ),
    "operation that raises": (
        'from groklab import operation\n\n@operation()\ndef mine(x, y, n):\n    """Nothing at all (mine)."""\n    raise RuntimeError("no")\n',
        "its function failed with RuntimeError: no",
    ),
    "random operation": (
        "import numpy as np\nfrom groklab import operation\n\nRANDOM = np.random.default_rng(0)\n\n"
        '@operation()\ndef mine(x, y, n):\n    """Anything (mine), anew each time."""\n    return RANDOM.integers(0, n, len(x))\n',
        "two calls with the same x and y gave two answers",
    ),
    "schedule": (
        'from groklab import schedule\n\n@schedule()\ndef mine(step):\n    """Factor that grows without end (mine)."""\n    return step\n',
        "expected a factor from 0 to 1",
    ),
    "loss": (
        'from groklab import loss\n\n@loss()\ndef mine(logits, answers):\n    """The wrong way round (mine)."""\n'
        "    return logits.gather(-1, answers[..., None].long())[..., 0]\n",
        "not smallest where the answer is right",
    ),
    "loss without gradient": (
        'from groklab import loss\n\n@loss()\ndef mine(logits, answers):\n    """Share of mistakes (mine)."""\n'
        "    return (logits.argmax(-1) != answers).to(logits.dtype)\n",
        "it has no gradient",
    ),
    "intervention": (
        "import torch\nfrom groklab import intervention\n\n"
        '@intervention(at="gradient")\ndef mine(gradient):\n    """Noise that nobody can repeat (mine)."""\n    return gradient + torch.rand_like(gradient)\n',
        "expected the same to the last bit",
    ),
    "stop": (
        'from groklab import stop\n\n@stop()\ndef mine(history, threshold):\n    """Says yes (mine), and not when."""\n    return True\n',
        "expected the step of one of the evaluations",
    ),
    "measure": (
        'from groklab import measure\n\n@measure()\ndef mine(parameters, task):\n    """Largest weight, which it clears (mine)."""\n'
        "    found = float(parameters.flat.abs().max())\n    parameters.flat.zero_()\n    return found\n",
        "it changed the weights that it measured",
    ),
    "infinite measure": (
        'from groklab import measure\n\n@measure()\ndef mine(parameters, task):\n    """Infinitely large (mine)."""\n    return float("inf")\n',
        "expected finite numbers",
    ),
    "figure": (
        'from groklab import figure\n\n@figure(needs=("step",), takes="history")\ndef mine(history):\n    """No picture (mine)."""\n    return 5\n',
        "it gives 5; expected a matplotlib Figure",
    ),
    "preset": (
        "from groklab import preset\nfrom groklab.config.run import Run\n\n"
        '@preset(source="mine")\ndef mine():\n    """More heads than width (mine)."""\n    return Run.of(width=16, heads=3)\n',
        "heads",
    ),
    "experiment": (
        "from groklab import experiment\nfrom groklab.config.run import Run\n\n"
        '@experiment(figure="no_such_figure", source="mine")\ndef mine(scale):\n    """One run (mine)."""\n    return {"x": [Run.of(steps=10)]}\n',
        "its figure is 'no_such_figure'",
    ),
    "claim": (
        "from groklab import claim\nfrom groklab.claims.rules import Judgment\n\n"
        '@claim(id="X1", paper="mine", place="here", experiment="figure1_center", published="sooner", expects=lambda run: {})\n'
        'def mine(table):\n    """Everything is sooner (mine)."""\n    return Judgment(verdict="reproduced", reason="always")\n',
        "expected the sentence of the paper, an empty line, and the rule",
    ),
    "a misspelled fact": (
        'from groklab import measure\n\n@measure(arays=True)\ndef mine(parameters, task):\n    """Largest weight (mine)."""\n'
        "    return float(parameters.flat.abs().max())\n",
        "its decorator has arays=, which nothing reads. Did you mean 'arrays'?",
    ),
    "a setting without a default": (
        'from groklab import measure\n\n@measure()\ndef mine(parameters, task, *, power):\n    """Largest weight to a power (mine)."""\n'
        "    return float(parameters.flat.abs().max()) ** power\n",
        "it was not tried: power must be given",
    ),
    "a title for a docstring": (
        'from groklab import stop\n\n@stop()\ndef mine(history, threshold):\n    """A rule that never stops anything"""\n    return None\n',
        "End it with a period",
    ),
}


def checked(capsys, *words):
    status = main(["check", *map(str, words)])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.mark.medium
def test_parts_of_every_usual_kind_are_tried_and_right(tmp_path, capsys):
    file = tmp_path / "my_lab.py"
    file.write_text(GOOD, encoding="utf-8")
    before = {kind: registry.entries(kind) for kind in registry.HOMES}
    status, out, err = checked(capsys, file, "--json")
    found = json.loads(out)
    assert (status, err) == (0, ""), out
    parts = {part["name"]: part for part in found["files"][0]["parts"]}
    assert {part["kind"] for part in parts.values()} == {
        "operation", "schedule", "loss", "intervention", "stop", "measure", "preset", "figure", "experiment",
    }  # fmt: skip
    assert all(part["problems"] == [] for part in parts.values())
    assert found["is_right"]
    assert {kind: registry.entries(kind) for kind in registry.HOMES} == before, "what a file registers is known while it is checked alone"
    status, out, _ = checked(capsys, file)
    assert status == 0
    assert "9 parts tried, all as they must be" in out


@pytest.mark.parametrize(("source", "expected"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(source, expected, tmp_path, capsys):
    file = tmp_path / "my_lab.py"
    file.write_text(source, encoding="utf-8")
    status, out, _ = checked(capsys, file, "--json")
    (part,) = json.loads(out)["files"][0]["parts"]
    assert status == 1
    assert expected in " ".join(part["problems"])
    status, out, _ = checked(capsys, file)
    assert status == 1
    assert "1 part tried, 1 to put right" in out


def test_a_file_that_registers_nothing_is_wrong_and_others_are_tried(tmp_path, capsys):
    (tmp_path / "nothing.py").write_text("VALUE = 5\n", encoding="utf-8")
    (tmp_path / "lab.py").write_text(WRONG["stop"][0].replace("return True", "return None"), encoding="utf-8")
    status, out, _ = checked(capsys, tmp_path / "nothing.py", tmp_path / "lab.py")
    assert status == 1
    assert "it registers nothing; expected functions below decorators" in out
    assert "1 part tried, all as they must be" in out


@pytest.mark.parametrize(
    ("source", "expected"),
    [(None, "No such file"), ("raise ValueError('by itself')", "ValueError: by itself"), ("def broken(:", "SyntaxError")],
)
def test_a_file_that_cannot_be_loaded_is_an_error(source, expected, tmp_path, capsys):
    if source is not None:
        (tmp_path / "lab.py").write_text(source, encoding="utf-8")
    status, out, err = checked(capsys, tmp_path / "lab.py")
    assert (status, out) == (2, "")
    assert expected in err


def test_without_a_file_it_says_what_is_missing(capsys):
    status, _, err = checked(capsys)
    assert status == 2
    assert "FILE.py: got none" in err
