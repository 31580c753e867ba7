"""Interventions, optimizers, losses and architectures as a user asks for them: by flag, by plugin, by preset."""

import json

import pytest

import groklab as gl
from groklab import registry
from groklab.cli import main
from groklab.config.presets import preset_named
from groklab.training import engine
from groklab.training.batches import Batch
from groklab.training.engine import Noted

TINY = ["--operation", "addition", "--modulus", "7", "--width", "16", "--heads", "2", "--layers", "1", "--steps", "20", "--no-figures"]


def trained(tmp_path, capsys, *words):
    assert main(["train", *TINY, "--runs", str(tmp_path), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.medium
def test_interventions_are_flags_and_part_of_run_json_and_of_the_id(tmp_path, capsys):
    asked = ["grokfast_ema(alpha=0.98, strength=2.0)", "weight_noise(std=0.02)"]
    result = trained(tmp_path, capsys, "--interventions", *asked)
    stored = json.loads((tmp_path / result["id"] / "run.json").read_text(encoding="utf-8"))
    assert stored["run"]["training"]["interventions"] == asked
    plain = trained(tmp_path, capsys)
    same = trained(tmp_path, capsys, "--interventions", "grokfast_ema", "weight_noise( std = 2e-2 )")
    turned = trained(tmp_path, capsys, "--interventions", *reversed(asked))
    assert same["id"] == result["id"]
    assert len({result["id"], plain["id"], turned["id"]}) == 3
    assert result["train_loss"] != plain["train_loss"]
    again = trained(tmp_path, capsys, "--config", str(tmp_path / result["id"] / "run.json"))
    assert again == result | {"folder": again["folder"]}


@pytest.mark.medium
@pytest.mark.parametrize(
    "words",
    [
        ["--optimizer", "muon"],
        ["--optimizer", "sgd(momentum=0.9)", "--schedule", "cosine(horizon=50)"],
        ["--loss", "stablemax", "--precision", "float64"],
        ["--architecture", "mlp(inputs='summed')", "--mlp-width", "12", "--heads", "4"],
        ["--no-operator-token", "--attention", "uniform", "--norm", "pre"],
        ["--interventions", "residual_dropout", "sam", "norm_clamp(start=5, stop=10)"],
        ["--measures", "weight_norm", "softmax_collapse", "zero_loss_share"],
    ],
)
def test_variants_train_from_the_command_line(tmp_path, capsys, words):
    assert trained(tmp_path, capsys, *words)["steps"] == 20


PLUGIN = '''
from groklab import intervention, optimizer

@intervention(at="gradient")
def leaky_sum(gradient, memory, *, leak=0.5):
    """Gradient plus a leaky sum of the earlier ones (my own)."""
    memory = leak * memory + gradient
    return gradient + memory, memory
'''


def test_an_intervention_of_the_user_s_own_needs_no_change_of_the_package(tmp_path, capsys):
    file = tmp_path / "my_lab.py"
    file.write_text(PLUGIN, encoding="utf-8")
    words = ["--plugin", str(file), "--interventions", "leaky_sum(leak=0.25)"]
    result = trained(tmp_path / "runs", capsys, *words)
    assert list((tmp_path / "runs" / result["id"] / "plugins").glob("*.py"))
    longer = trained(tmp_path / "runs", capsys, *words, "--steps", "30")
    assert longer["id"] == result["id"]
    assert longer["steps"] == 30
    assert main(["list", "interventions", "--plugin", str(file)]) == 0
    assert "leaky_sum" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["interventions", "optimizers", "losses", "architectures", "schedules", "presets"])
def test_lists_give_settings_description_and_source(kind, capsys):
    assert main(["list", kind, "--json"]) == 0
    for entry in json.loads(capsys.readouterr().out)[kind]:
        assert entry["description"]
        assert entry.get("source") or entry["name"] == "leaky_sum", "a plugin of another test may lack it"
    assert main(["list", kind]) == 0
    told = capsys.readouterr().out
    if kind == "interventions":
        for part in ("residual_dropout", "alpha=0.98, strength=2.0", "Lee et al. 2024", "start=0, stop=None"):
            assert part in told


@pytest.mark.parametrize("name", registry.entries("preset"))
def test_the_network_of_every_preset_makes_an_update(name):
    run = preset_named(name)
    assert not list(engine.run_problems(run))
    batch = Batch([run.replace(batch_size=64)], device="cpu")
    batch.update()
    assert batch.parameters.flat.isfinite().all()


def test_the_sizes_of_the_presets_are_those_of_their_papers():
    def shapes(name):
        return {key: entry.shape for key, entry in Batch([preset_named(name)], device="cpu").layout.entries.items()}

    nanda = shapes("nanda")
    assert nanda["embedding"] == (114, 128)
    assert nanda["positions"] == (3, 128)
    assert nanda["blocks.0.mlp.in"] == (512, 128)
    assert nanda["blocks.0.mlp.in_bias"] == (512,)
    assert not any("norm" in key or "blocks.1" in key for key in nanda)
    assert shapes("gromov") == {"layers.0.left": (500, 97), "layers.0.right": (500, 97), "output": (97, 500)}
    assert shapes("chughtai_s5_mlp")["layers.0.left"] == (128, 256)
    assert shapes("prieto_stablemax")["layers.1"] == (200, 200)


@pytest.mark.medium
def test_gradients_that_have_vanished_are_told_once_and_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(Batch, "has_vanished", lambda self, r: self.step >= 5)
    run = gl.Run.of(operation="addition", modulus=7, width=16, heads=2, layers=1, steps=30)
    notes = [event for event in engine.train([run]) if isinstance(event, Noted)]
    assert len(notes) == 1
    told = []
    gl.train(run, runs=tmp_path, on_progress=lambda progress: told.append(progress.warning) if progress.warning else None)
    assert told == [notes[0].message]
    assert gl.load("latest", runs=tmp_path).folder.description()["warnings"] == told
    assert "softmax collapse" in told[0]


def test_a_loss_without_gradient_counts_as_vanished():
    batch = Batch([gl.Run.of(operation="addition", modulus=5, width=8, heads=2, layers=1, norm="none", initial_scale=30.0)], device="cpu")
    batch.update()
    assert not batch.has_vanished(0)
    batch.gradient.flat.zero_()
    assert batch.has_vanished(0)


@pytest.mark.medium
def test_a_network_that_can_be_solved_by_hand_generalizes_at_once(tmp_path):
    """Gromov's quadratic network on addition mod 31: a real training that needs a second."""
    run = gl.train(preset_named("gromov"), modulus=31, mlp_width=200, steps=500, runs=tmp_path)
    assert run.summary.generalized_at is not None
    assert run.summary.generalized_at <= 300
