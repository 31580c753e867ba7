"""Networks in and out: to TransformerLens, and from the official implementation's state dicts."""

import json
import math
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import groklab as gl
from groklab.cli import main
from groklab.config.run import Run
from groklab.laboratory.networks import export_network, import_network
from groklab.model.exchange import OFFICIAL_VOCABULARY, official_network, tokens_of
from groklab.model.parameters import Parameters, initial_parameters
from groklab.model.transformer import of_equations
from groklab.results.files import StoreError
from groklab.results.store import RunFolder
from groklab.training.batches import DTYPES, network

TINY = {"operation": "addition", "modulus": 5, "width": 8, "layers": 1, "heads": 2, "stop": "never", "steps": 12}


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("groklab.results.files.os.fsync", lambda descriptor: None)
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder: exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        capsys.readouterr()
        try:
            status = main([str(word) for word in words])
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


def stored(tmp_path, **fields):
    """A run with a checkpoint whose every parameter is random, zeros and ones of the beginning included; nothing is trained."""
    run = Run.of(**(TINY | fields))
    folder = RunFolder(tmp_path / "runs" / run.id)
    _, _, layout = network(run)
    folder.create(run, {"total": layout.size, "non_embedding": layout.non_embedding})
    folder.update(status="complete")
    folder.write_step("checkpoints", 12, random_parameters(run).to_numpy())
    return gl.load(run.id, runs=tmp_path / "runs")


def random_parameters(run, seed=3) -> Parameters:
    _, _, layout = network(run)
    parameters = initial_parameters(layout, run.seeds.seed, dtype=DTYPES[run.training.precision])
    parameters.flat.add_(torch.randn(parameters.flat.shape, generator=torch.Generator().manual_seed(seed)).mul_(0.3))
    return parameters


def pairs(n):
    return torch.cartesian_prod(torch.arange(n), torch.arange(n)).unbind(1)


def logits(run, parameters):
    """Of every pair of elements, by the reference, in float64, so that what differs is more than rounding."""
    n = network(run)[0].n
    return of_equations({name: view[0].double() for name, view in parameters.items()}, run.model, *pairs(n), n).numpy()


# — to TransformerLens —


def hooked_transformer(state, config, tokens):
    """The forward pass of a HookedTransformer by its documented equations, in float64."""
    s = {name: np.asarray(array, np.float64) for name, array in state.items() if "mask" not in name}

    def norm(x, name):
        if config["normalization_type"] is None:
            return x
        centered = x - x.mean(-1, keepdims=True)
        return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + config["eps"]) * s[f"{name}.w"] + s[f"{name}.b"]

    def act(x):
        return np.maximum(x, 0) if config["act_fn"] == "relu" else x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2

    x = s["embed.W_E"][tokens] + s["pos_embed.W_pos"][: tokens.shape[1]]
    for layer in range(config["n_layers"]):
        b, h = f"blocks.{layer}", norm(x, f"blocks.{layer}.ln1")
        q, k, v = (np.einsum("bte,hed->bthd", h, s[f"{b}.attn.W_{m}"]) + s[f"{b}.attn.b_{m}"] for m in "QKV")
        scores = np.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(config["d_head"])
        scores = np.where(state[f"{b}.attn.mask"], scores, s[f"{b}.attn.IGNORE"])
        pattern = np.exp(scores - scores.max(-1, keepdims=True))
        pattern /= pattern.sum(-1, keepdims=True)
        z = np.einsum("bhqk,bkhd->bqhd", pattern, v)
        x = x + np.einsum("bqhd,hde->bqe", z, s[f"{b}.attn.W_O"]) + s[f"{b}.attn.b_O"]
        x = x + act(norm(x, f"{b}.ln2") @ s[f"{b}.mlp.W_in"] + s[f"{b}.mlp.b_in"]) @ s[f"{b}.mlp.W_out"] + s[f"{b}.mlp.b_out"]
    return norm(x, "ln_final") @ s["unembed.W_U"] + s["unembed.b_U"]


EXPRESSIBLE = {
    "none": {"norm": "none"},
    "pre": {"norm": "pre"},
    "two layers, pre": {"norm": "pre", "layers": 2},
    "two layers, none, biases": {"norm": "none", "layers": 2, "biases": True},
    "pre, biases, begin": {"norm": "pre", "biases": True, "begin_token": True},
    "no operator": {"norm": "none", "operator_token": False, "positions": "learned", "mlp_biases": True},
    "no operator, begin, learned": {"norm": "pre", "operator_token": False, "begin_token": True, "positions": "learned"},
    "no positions, gelu": {"norm": "pre", "positions": "none", "activation": "gelu", "mlp_width": 12},
    "frozen, one head": {"norm": "none", "attention": "frozen", "heads": 1},
    "division, which lacks no element": {"norm": "pre", "operation": "division"},
    "group": {"norm": "pre", "operation": "group_product", "group": "symmetric(3)", "modulus": None},
    "double": {"norm": "pre", "precision": "float64"},
}


def exported_to_lens(tmp_path, fields):
    run = stored(tmp_path, **fields)
    output = tmp_path / "lens.safetensors"
    export_network(run, output, to="transformer_lens")
    return run, load_file(output), json.loads(Path(f"{output}.json").read_text(encoding="utf-8"))


def sequences(described):
    """All ``[begin] a ∘ b =`` by the vocabulary of the description, as a user would write them."""
    number = {text: i for i, text in enumerate(described["vocabulary"])}
    elements = described["elements"]
    first, operator = (["begin"] if "begin" in number else []), (["∘"] if "∘" in number else [])
    return np.array([[number[t] for t in [*first, a, *operator, b, "="]] for a in elements for b in elements])


@pytest.mark.parametrize("fields", EXPRESSIBLE.values(), ids=EXPRESSIBLE)
def test_a_hooked_transformer_of_the_exported_state_has_the_same_logits(tmp_path, fields):
    run, state, described = exported_to_lens(tmp_path, fields)
    expected = logits(run.run, run.model())
    found = hooked_transformer(state, described["config"], sequences(described))[:, -1]
    assert np.abs(expected).max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)
    config = described["config"]
    assert config["d_vocab"] == len(described["vocabulary"]) == len(state["embed.W_E"])
    assert config["n_ctx"] == sequences(described).shape[1] == len(state["pos_embed.W_pos"])
    assert {str(array.dtype) for name, array in state.items() if ".attn." not in name} == {described["dtype"]}


def test_the_description_is_in_the_file_too(tmp_path):
    _, _, described = exported_to_lens(tmp_path, EXPRESSIBLE["pre"])
    with safe_open(tmp_path / "lens.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["groklab"]) == described
        assert file.get_slice("blocks.0.attn.IGNORE").get_shape() == []
    assert described["step"] == 12
    assert described["config"]["normalization_type"] == "LN"


@pytest.mark.filterwarnings("ignore")  # version 3 deprecates what version 4 has not
@pytest.mark.parametrize("fields", EXPRESSIBLE.values(), ids=EXPRESSIBLE)
def test_transformer_lens_itself_has_the_same_logits(tmp_path, fields):
    reason = "needs TransformerLens 2 or 3 (4 has no HookedTransformer); the equations are checked without it above"
    pytest.importorskip("transformer_lens.HookedTransformer", reason=reason)
    import transformer_lens as lens

    run, state, described = exported_to_lens(tmp_path, fields)
    config = lens.HookedTransformerConfig(**described["config"], dtype=getattr(torch, described["dtype"]), device="cpu")
    model = lens.HookedTransformer(config)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    with torch.no_grad():
        found = model(torch.from_numpy(sequences(described)))[:, -1]
    np.testing.assert_allclose(found.numpy(), logits(run.run, run.model()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "norm: got 'post'"),
        ({"norm": "pre", "attention": "uniform"}, "attention: got 'uniform'"),
        ({"norm": "pre", "activation": "quadratic"}, "activation: got 'quadratic'"),
        ({"architecture": "mlp", "heads": 4}, "architecture: got 'mlp'"),
    ],
)
def test_what_transformer_lens_cannot_express_is_refused_with_what_can_be_done(tmp_path, fields, told):
    with pytest.raises(ValueError, match=told) as refused:
        export_network(stored(tmp_path, **fields), tmp_path / "lens.safetensors", to="transformer_lens")
    assert "--to safetensors" in str(refused.value)
    assert not (tmp_path / "lens.safetensors").exists()


# — out and in again —


@pytest.mark.parametrize(
    "fields",
    [{}, *list(EXPRESSIBLE.values())[-3:], {"architecture": "mlp(inputs='one_hot')", "width": 128, "heads": 4, "mlp_width": 16}],
)
def test_an_exported_network_comes_back_with_equal_logits(tmp_path, fields):
    before = stored(tmp_path, **fields)
    export_network(before, tmp_path / "net.safetensors")
    after = import_network(tmp_path / "net.safetensors", runs=tmp_path / "elsewhere")
    assert after.run.id == before.run.id
    assert torch.equal(after.model().flat, before.model().flat)
    assert after.folder.steps_of("checkpoints") == after.folder.steps_of("answers") == [12]
    if "architecture" not in fields:
        answered = after.answers()
        n = network(before.run)[0].n
        found = logits(before.run, after.model()).argmax(1).reshape(n, n)
        assert (found[answered["x"], answered["y"]] == answered["answer"].to_numpy()).all()


def test_both_commands(command):
    tiny = [
        "--operation",
        "addition",
        "--modulus",
        "5",
        "--width",
        "8",
        "--layers",
        "1",
        "--heads",
        "2",
        "--norm",
        "pre",
        "--stop",
        "never",
        "--steps",
        "30",
        "--no-figures",
    ]
    assert command("train", *tiny)[0] == 0
    trained = gl.load("latest")
    status, out, _ = command("export", trained.id, "--to", "safetensors", "--output", "out/net.safetensors", "--checkpoint", 10, "--json")
    assert (status, json.loads(out)["step"], json.loads(out)["run"]) == (0, 10, trained.id)
    assert command("export", trained.id, "--to", "transformer_lens", "--output", "lens.safetensors")[0] == 0
    status, out, err = command("import", "out/net.safetensors", "--json")
    assert status == 0, err
    found = json.loads(out)
    assert found["id"].startswith("imported-addition-5-f0.50-s0-")
    assert (found["status"], found["steps"], found["imported"]["id"]) == ("complete", 10, trained.id)
    row = next(row for row in trained.rows if row["step"] == 10)
    assert found["validation_loss"] == pytest.approx(row["validation_loss"], abs=1e-5)
    assert (found["train_accuracy"], found["validation_accuracy"]) == (row["train_accuracy"], row["validation_accuracy"])
    for words in (["show", found["id"]], ["show", "--table"], ["figure", "learning_curves", found["id"]]):
        assert command(*words)[0] == 0
    assert command("figure", "operation_table", found["id"], "--output", "table.svg")[0] == 0
    assert Path("table.svg").stat().st_size > 5_000
    again = json.loads(command("import", "out/net.safetensors", "--json")[1])
    assert again["id"] == found["id"]
    assert len(list(Path("runs").iterdir())) == 2


def test_training_never_takes_an_imported_run_for_its_own(command):
    run = stored(Path(), **TINY)
    export_network(run, Path("net.safetensors"))
    imported = import_network(Path("net.safetensors"))
    shutil.rmtree(run.folder.path)
    status, _, err = command("continue", imported.id, "--steps", 20)
    assert status == 1
    assert "was imported" in err
    trained = gl.train(imported.run)
    assert trained.id == run.id != imported.id
    assert trained.steps == 12
    assert len(imported.rows) == 1


def test_a_killed_import_is_made_whole(tmp_path, monkeypatch):
    run = stored(tmp_path)
    export_network(run, tmp_path / "net.safetensors")
    with monkeypatch.context() as broken:
        broken.setattr(RunFolder, "append", lambda *_: (_ for _ in ()).throw(StoreError("no space")))
        with pytest.raises(StoreError, match="no space"):
            import_network(tmp_path / "net.safetensors", runs=tmp_path / "new")
    left = next((tmp_path / "new").iterdir())
    assert RunFolder(left).status() == "interrupted"
    assert import_network(tmp_path / "net.safetensors", runs=tmp_path / "new").status == "complete"
    assert [path.name for path in (tmp_path / "new").iterdir()] == [left.name]


def test_a_table_from_a_file_travels_beside_the_network(tmp_path):
    (tmp_path / "table.csv").write_text("x,y,z\n" + "".join(f"{a},{b},{a * b % 3}\n" for a in range(3) for b in range(3)), encoding="utf-8")
    run = stored(tmp_path, operation="from_file", modulus=None, file=str(tmp_path / "table.csv"))
    export_network(run, tmp_path / "net.safetensors")
    shutil.rmtree(run.folder.path)
    assert import_network(tmp_path / "net.safetensors", runs=tmp_path / "a").run.id == run.id
    (tmp_path / "net.safetensors.csv").write_text("x,y,z\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n", encoding="utf-8")
    with pytest.raises(ValueError, match="here its settings are those of"):
        import_network(tmp_path / "net.safetensors", runs=tmp_path / "b")
    (tmp_path / "net.safetensors.csv").unlink()
    with pytest.raises(ValueError, match="--file"):
        import_network(tmp_path / "net.safetensors", runs=tmp_path / "b")
    assert import_network(tmp_path / "net.safetensors", runs=tmp_path / "b", file=str(tmp_path / "table.csv")).run.id == run.id


# — from the official implementation —

PAPERS = {"operation": "division", "modulus": 7, "width": 8, "heads": 4, "layers": 2, "begin_token": True}


def official_state(run, prefix="", vocabulary=OFFICIAL_VOCABULARY, operator="/"):
    """A state dict in the names of the official implementation, with random rows for the tokens that the task does not use."""
    table, _, _ = network(run)
    p = {name: view[0] for name, view in random_parameters(run).items()}
    E, H, V = run.model.width, run.model.heads, len(vocabulary)
    rows = [vocabulary.index(text) for text in [*table.elements, operator, "=", vocabulary[0]]]
    random = torch.Generator().manual_seed(1)
    embedding, output = torch.randn(V, E, generator=random), torch.randn(V, E, generator=random)
    embedding[rows] = p["embedding"]
    output[rows[: table.n]] = p["output"]
    state = {"embedding.weight": embedding, "linear.weight": output}
    for layer in range(run.model.layers):
        block, own = f"decoder.blocks.{layer}", f"blocks.{layer}"
        for letter, name in (("q", "query"), ("k", "key"), ("v", "value")):
            for head, part in enumerate(p[f"{own}.attention.{name}"].split(E // H)):
                state[f"{block}.self_attn.attn_heads.{head}.W{letter}.weight"] = part.clone()
        state[f"{block}.self_attn.Wo.weight"] = p[f"{own}.attention.output"]
        for theirs, ours in (("self_attn_norm", "attention_norm"), ("ffn_norm", "mlp_norm")):
            state[f"{block}.{theirs}.weight"], state[f"{block}.{theirs}.bias"] = p[f"{own}.{ours}.gain"], p[f"{own}.{ours}.bias"]
        state[f"{block}.ffn.ffn.0.weight"], state[f"{block}.ffn.ffn.2.weight"] = p[f"{own}.mlp.in"], p[f"{own}.mlp.out"]
    return {prefix + name: tensor.clone() for name, tensor in state.items()}


def official_logits(state, sequence, layers=2, heads=4):
    """The official transformer by its published equations: (B, T) tokens to (B, V) logits at the last of them."""
    F = torch.nn.functional
    E = state["embedding.weight"].shape[1]
    where = torch.arange(sequence.shape[1], dtype=torch.float64)[:, None]
    even = torch.arange(E) // 2 * 2
    angle = where / 10000 ** (even / E)
    x = state["embedding.weight"][sequence] + torch.where(torch.arange(E) % 2 == 0, angle.sin(), angle.cos()).float()
    for layer in range(layers):
        block = f"decoder.blocks.{layer}"
        parts = []
        for head in range(heads):
            q, k, v = (F.linear(x, state[f"{block}.self_attn.attn_heads.{head}.W{m}.weight"]) for m in "qkv")
            parts.append(F.scaled_dot_product_attention(q, k, v, is_causal=True))
        attended = F.linear(torch.cat(parts, -1), state[f"{block}.self_attn.Wo.weight"])
        x = F.layer_norm(x + attended, (E,), state[f"{block}.self_attn_norm.weight"], state[f"{block}.self_attn_norm.bias"])
        hidden = F.linear(x, state[f"{block}.ffn.ffn.0.weight"]).relu()
        x = x + F.linear(hidden, state[f"{block}.ffn.ffn.2.weight"])
        x = F.layer_norm(x, (E,), state[f"{block}.ffn_norm.weight"], state[f"{block}.ffn_norm.bias"])
    return F.linear(x[:, -1], state["linear.weight"])


def test_the_official_vocabulary_has_239_tokens_in_the_published_order():
    assert len(OFFICIAL_VOCABULARY) == len(set(OFFICIAL_VOCABULARY)) == 239
    assert OFFICIAL_VOCABULARY[:2] == ("<|eos|>", "=")
    assert OFFICIAL_VOCABULARY[22:24] == ("0", "1")
    assert OFFICIAL_VOCABULARY[-120] == "01234"
    assert list(OFFICIAL_VOCABULARY[2:22]) == sorted(OFFICIAL_VOCABULARY[2:22])


def written(state, form, path=Path("net")):
    if form == "safetensors":
        save_file({name: tensor.numpy() for name, tensor in state.items()}, path := path.with_suffix(".safetensors"))
    elif form == "lightning":
        torch.save({"state_dict": state, "global_step": 500, "epoch": 3}, path := path.with_suffix(".ckpt"))
    else:
        torch.save(state, path := path.with_suffix(".pt"))
    return path


@pytest.mark.parametrize("prefix", ["", "transformer."])
@pytest.mark.parametrize("form", ["safetensors", "torch", "lightning"])
def test_an_official_state_dict_is_imported_with_equal_logits(command, prefix, form):
    run = Run.of(**PAPERS)
    file = written(official_state(run, prefix), form)
    words = [] if form == "lightning" else ["--step", 500]
    status, out, err = command("import", file, "--operation", "division", "--modulus", 7, "--train-fraction", 0.6, *words, "--json")
    assert status == 0, err
    found = gl.load(json.loads(out)["id"])
    assert (found.run.model, found.run.task.train_fraction, found.steps) == (run.model, 0.6, 500)
    expected = logits(run, random_parameters(run))
    np.testing.assert_allclose(logits(found.run, found.model()), expected, atol=1e-6)
    state = official_state(run)
    number = {text: i for i, text in enumerate(OFFICIAL_VOCABULARY)}
    a, b = (side.numpy() for side in pairs(7))
    sequence = np.stack(
        [np.full(49, number["<|eos|>"]), number["0"] + a, np.full(49, number["/"]), number["0"] + b, np.full(49, number["="])], 1
    )
    theirs = official_logits(state, torch.from_numpy(sequence))[:, number["0"] : number["0"] + 7]
    np.testing.assert_allclose(logits(found.run, found.model()), theirs.numpy(), atol=1e-5, rtol=1e-5)
    assert "split" in " ".join(json.loads(out)["warnings"])
    for words in (["show", found.id], ["figure", "operation_table", found.id], ["figure", "learning_curves", found.id]):
        assert command(*words)[0] == 0


def test_permutations_are_found_in_the_official_vocabulary(command):
    run = Run.of(operation="s5_product", width=8, heads=4, layers=1, begin_token=True)
    file = written(official_state(run, operator="s5"), "torch")
    found = import_network(file, operation="group_product", group="symmetric(5)", step=9)
    assert np.array_equal(found.model().flat, random_parameters(run).flat)


def test_the_buffers_of_the_official_implementation_are_looked_at(command):
    from groklab.model.transformer import sinusoidal

    state = official_state(Run.of(**PAPERS), "transformer.")
    state |= {"transformer.position_encoding": sinusoidal(50, 8).float(), "transformer.self_attn_mask": torch.ones(50, 50).tril()}
    assert import_network(written(state, "torch"), modulus=7).status == "complete"
    for name, wrong in (("position_encoding", torch.zeros(50, 8)), ("self_attn_mask", torch.ones(50, 50))):
        with pytest.raises(ValueError, match=name):
            import_network(written(state | {f"transformer.{name}": wrong}, "torch"), modulus=7)


def test_without_a_step_the_run_says_that_it_does_not_know_it(command):
    status, out, _ = command("import", written(official_state(Run.of(**PAPERS)), "torch"), "--modulus", 7)
    assert status == 0
    assert "step 0" in out
    assert "--step N" in out
    assert gl.load("latest").status == "complete"


@pytest.mark.parametrize("name", ["distance_from_initial", "generalization_bounds"])
def test_a_measure_that_needs_unknown_initial_weights_is_refused(command, name):
    command("import", written(official_state(Run.of(**PAPERS)), "torch"), "--modulus", 7, "--step", 500)
    status, out, err = command("measure", name, "latest")
    assert (status, out) == (2, "")
    assert f"{name}: it needs the initial weights, and those of imported-" in err
    assert "norm_products" in err.split("Measures that apply", 1)[1]
    assert command("measure", "norm_products", "latest")[0] == 0


def test_a_vocabulary_of_ones_own(command):
    run = Run.of(**PAPERS)
    own = ("<|bos|>", "6", "5", "4", "3", "2", "1", "0", "/", "=", "spare")
    file = written(official_state(run, vocabulary=own), "torch")
    assert "vocabulary" in command("import", file, "--modulus", 7)[2]
    Path("tokens.json").write_text(json.dumps({text: number for number, text in enumerate(own)}), encoding="utf-8")
    found = import_network(file, vocabulary=Path("tokens.json"), modulus=7)
    assert np.array_equal(found.model().flat, random_parameters(run).flat)
    file = written(official_state(run, vocabulary=("begin", *"0123456", "∘", "="), operator="∘"), "torch", Path("small"))
    Path("tokens.json").write_text(json.dumps({text: number for number, text in enumerate(("x", *"0123456", "∘", "="))}), encoding="utf-8")
    with pytest.raises(ValueError, match="begin_token"):
        import_network(file, vocabulary=Path("tokens.json"), modulus=7, begin_token=True)


def test_a_vocabulary_of_the_tasks_size_is_read_in_our_order():
    run = Run.of(**PAPERS)
    assert tokens_of("0123456", run, 10).after == (7, 8, 9)
    assert tokens_of("0123456", run, 9).after == (7, 8)
    assert tokens_of("0123456", run, 9, wants_operator=False).after == (7, 8)
    assert tokens_of("0123456", run, 9, wants_operator=False).has_begin
    with pytest.raises(ValueError, match="11 tokens"):
        tokens_of("0123456", run, 11)


@pytest.mark.parametrize(
    ("tokens", "told"),
    [
        ("[1, 2]", "JSON object"),
        ("{", "not JSON"),
        ('{"0": 1.5}', "JSON object"),
        ('{"0": 0}', "no 1, 2"),
        (json.dumps(dict.fromkeys([*"0123456", "/", "=", "begin"], 0)), "two tokens one number"),
        (json.dumps({text: 300 + i for i, text in enumerate([*"0123456", "/", "=", "begin"])}), "outside"),
        (json.dumps({text: i for i, text in enumerate([*"0123456", "=", "begin"])}), "operator_token"),
        (json.dumps({text: i for i, text in enumerate([*"0123456", "/", "begin"])}), "has no ="),
    ],
)
def test_a_vocabulary_file_that_does_not_fit_is_refused(command, tokens, told):
    file = written(official_state(Run.of(**PAPERS)), "torch")
    Path("tokens.json").write_text(tokens, encoding="utf-8")
    status, _, err = command("import", file, "--modulus", 7, "--vocabulary", "tokens.json")
    assert status == 2
    assert told in err


# — bad input —


class _Evil:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("protocol", [None, 2, 4])
def test_a_pickle_that_would_execute_code_is_refused_and_nothing_is_executed(command, tmp_path, protocol):
    target, file = tmp_path / "executed", tmp_path / "net.pt"
    content = {"embedding.weight": torch.zeros(3, 2), "hyper_parameters": _Evil(target)}
    torch.save(content, file) if protocol is None else file.write_bytes(pickle.dumps(content["hyper_parameters"], protocol))
    status, _, err = command("import", file)
    assert status == 2
    assert "nothing of it was executed" in err
    assert not target.exists()
    assert not Path("runs").exists()
    torch.load(file, weights_only=False) if protocol is None else pickle.loads(file.read_bytes())
    assert target.exists(), "the pickle does what it is meant to be refused for"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("net.safetensors", b"", "safetensors"),
        ("net.safetensors", b"\xff" * 64, "safetensors"),
        ("net.pt", b"", "neither"),
        ("net.pt", b"hello world", "neither"),
        ("net.ckpt", b"PK\x03\x04 and no more", "neither"),
    ],
)
def test_a_file_that_is_no_such_thing_is_refused(command, name, content, told):
    Path(name).write_bytes(content)
    status, _, err = command("import", name)
    assert status == 2
    assert name in err
    assert told in err
    assert not Path("runs").exists()


@pytest.mark.parametrize("content", [[1, 2], {"a": 1}, {"a": torch.zeros(2).to_sparse()}, {}, {1: torch.zeros(2)}, {"state_dict": {}}])
def test_a_pytorch_file_of_something_else_is_refused(command, content):
    torch.save(content, "net.pt")
    status, _, err = command("import", "net.pt")
    assert status == 2
    assert "expected a state dict" in err


def test_a_damaged_export_is_refused(command, tmp_path):
    run = stored(tmp_path)
    export_network(run, Path("net.safetensors"))
    whole = Path("net.safetensors").read_bytes()
    for damaged, told in (
        (whole[:-10], "cannot be read"),
        (whole[:-3] + b"\0\1\0", "checksum"),
        (whole.replace(b"addition", b"addltion"), "checksum"),
    ):
        Path("net.safetensors").write_bytes(damaged)
        status, _, err = command("import", "net.safetensors", "--runs", "new")
        assert (status, told in err) == (2, True), err
    assert not Path("new").exists()


def test_entries_that_are_missing_extra_or_misshapen_are_named(command):
    state = official_state(Run.of(**PAPERS))
    lost = "decoder.blocks.1.self_attn.attn_heads.2.Wk.weight"
    cases = {
        f"{lost} is missing": {name: tensor for name, tensor in state.items() if name != lost},
        "linear.weight is missing": {name: tensor for name, tensor in state.items() if name != "linear.weight"},
        "embedding.weight is missing": {name: tensor for name, tensor in state.items() if name != "embedding.weight"},
        "decoder.blocks.0.ffn.ffn.0.bias does not belong": state | {"decoder.blocks.0.ffn.ffn.0.bias": torch.zeros(32)},
        "ffn_norm.bias has shape (9,), expected (8,)": state | {"decoder.blocks.0.ffn_norm.bias": torch.zeros(9)},
        "there twice": state | {"transformer.linear.weight": state["linear.weight"]},
        "expected a matrix": state | {"embedding.weight": torch.zeros(5)},
        "infinite or nan": state | {"linear.weight": torch.full((239, 8), torch.nan)},
    }
    for told, wrong in cases.items():
        status, _, err = command("import", written(wrong, "torch"), "--modulus", 7)
        assert (status, told in err) == (2, True), (told, err)
    assert not Path("runs").exists()
    with pytest.raises(ValueError, match="0 heads"):
        official_network({name: t.numpy() for name, t in state.items() if "attn_heads" not in name})


def test_entries_of_an_exported_file_are_checked_too(command, tmp_path):
    """A file whose description and parameters are of two networks, its checksum right."""
    from groklab.laboratory.networks import _digest

    export_network(stored(tmp_path), Path("net.safetensors"))
    arrays = load_file("net.safetensors")
    text = json.dumps(json.loads(Path("net.safetensors.json").read_text(encoding="utf-8")))
    wrong = {name: array for name, array in arrays.items() if name != "output"} | {"more": np.zeros(2, np.float32)}
    save_file(wrong, "net.safetensors", metadata={"groklab": text, "sha256": _digest(text, wrong)})
    status, _, err = command("import", "net.safetensors", "--runs", "new")
    assert status == 2
    assert "output is missing" in err
    assert "more does not belong" in err
    save_file(arrays, "net.safetensors", metadata={"groklab": "{}", "sha256": _digest("{}", arrays)})
    assert "description that is not groklab's" in command("import", "net.safetensors")[2]


def test_what_the_file_says_cannot_be_said_otherwise(command, tmp_path):
    export_network(stored(tmp_path), Path("net.safetensors"))
    official = written(official_state(Run.of(**PAPERS)), "lightning")
    for words, told in {
        ("net.safetensors", "--seed", 3): "got seed",
        ("net.safetensors", "--step", 3): "expected 12",
        ("net.safetensors", "--step=-1"): "at least 0",
        (official, "--modulus", 7, "--heads", 2): "heads 2, expected 4",
        (official, "--modulus", 7, "--norm", "pre"): "norm 'pre'",
        (official, "--modulus", 7, "--biases"): "biases True",
        (official, "--modulus", 7, "--train-fraction", 2): "train_fraction",
        (official, "--operation", "expression", "--expression", "x+2*y", "--modulus", 7): "operator_token",
        (official, "--modulus", 101): "no 97, 98",
        (official, "--operation", "no_such"): "no_such",
        ("nothing.pt",): "there is none of that name",
    }.items():
        status, _, err = command("import", *words, "--runs", "new")
        assert (status, told in err) == (2, True), (words, err)
    assert command("import", official, "--steps", 3)[0] == 2
    assert not Path("new").exists()


def test_a_lens_export_and_foreign_names_are_not_imported(command, tmp_path):
    export_network(stored(tmp_path, norm="pre"), Path("lens.safetensors"), to="transformer_lens")
    assert "exported to transformer_lens" in command("import", "lens.safetensors")[2]
    save_file({"gpt.wte": np.zeros(3, np.float32)}, "other.safetensors")
    assert "gpt.wte" in command("import", "other.safetensors")[2]


def test_exports_that_cannot_be(command, tmp_path):
    run = stored(tmp_path)
    status, _, err = command("export", run.id, "--to", "safetensors", "--output", "net.safetensors", "--checkpoint", 10)
    assert (status, "the nearest are at 12" in err) == (1, True)
    assert "ends in .safetensors" in command("export", run.id, "--to", "safetensors", "--output", "net.pt")[2]
    Path("file").touch()
    status, _, err = command("export", run.id, "--to", "safetensors", "--output", "file/net.safetensors")
    assert status == 1
    assert "Choose another file" in err
    assert "--runs" not in err
    Path("folder.safetensors").mkdir()
    assert command("export", run.id, "--to", "safetensors", "--output", "folder.safetensors")[0] == 1
    assert command("export", run.id, "--to", "onnx", "--output", "net.safetensors")[0] == 2
    assert "no run 'nothing'" in command("export", "nothing", "--to", "safetensors", "--output", "net.safetensors")[2]


def test_a_checkpoint_of_another_network_is_named(command, tmp_path):
    run = stored(tmp_path)
    run.folder.write_step("checkpoints", 20, random_parameters(run.run.replace(layers=2)).to_numpy())
    status, _, err = command("export", run.id, "--to", "safetensors", "--output", "net.safetensors")
    assert status == 2
    assert "checkpoint at step 20" in err
    assert "blocks.1.attention.query does not belong to this network" in err
