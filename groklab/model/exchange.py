"""Parameters in the names and shapes of others: TransformerLens, and the official implementation of Power et al. (2022).

TransformerLens writes activations as rows, x W, with a head axis: W_Q (H, E, E/H), W_O (H, E/H, E); this house as `F.linear` does,
(outputs, inputs), the heads one after the other. The official implementation has a module per head, one vocabulary for all of its
tasks, and an output over the whole of it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from groklab import registry
from groklab.config.checks import FieldError
from groklab.config.fields import Model, Task
from groklab.config.run import Run
from groklab.model.transformer import sinusoidal

Arrays = Mapping[str, np.ndarray]


def marks(model: Model) -> list[str]:
    """The tokens after the elements, in the order of the embedding's rows."""
    return [*(["∘"] if model.operator_token else []), "=", *(["begin"] if model.begin_token else [])]


# — TransformerLens —

_ELSEWHERE = "Export with --to safetensors, which holds every network"


def transformer_lens_problems(run: Run) -> Iterator[FieldError]:
    """Settings of a network that TransformerLens's HookedTransformer has no counterpart of."""
    model = run.model
    if registry.parse_call(model.architecture).name != "transformer":
        yield FieldError("architecture", model.architecture, "transformer, the only network that TransformerLens has", f"{_ELSEWHERE}.")
        return
    if model.norm == "post":
        advice = f"{_ELSEWHERE}, or train a network with --norm pre."
        yield FieldError(
            "norm", "post", "pre or none: in TransformerLens a LayerNorm stands before a sublayer, never after the sum", advice
        )
    if model.attention == "uniform":
        advice = f"{_ELSEWHERE}, or train a network with --attention learned."
        yield FieldError("attention", "uniform", "learned or frozen: TransformerLens has no attention without queries and keys", advice)
    if model.activation == "quadratic":
        advice = f"{_ELSEWHERE}, or train a network with --activation relu."
        yield FieldError("activation", "quadratic", "relu or gelu, which TransformerLens has too", advice)


def transformer_lens_state(p: Arrays, model: Model) -> dict[str, np.ndarray]:
    """The state dict of a HookedTransformer with the same logits at its last position; weights without a bias get one of zeros.

    ``p`` holds one run's parameters under their own names. W_E (V, E), W_pos (T, E), W_Q, W_K, W_V (H, E, E/H), W_O (H, E/H, E),
    W_in (E, F), W_out (F, E), W_U (E, N). Fixed positions become a W_pos of their values, no positions one of zeros.
    """
    E, H = model.width, model.heads
    kind = p["embedding"].dtype
    T = 2 + len(marks(model))
    fixed = sinusoidal(T, E).numpy() if model.positions == "sinusoidal" else np.zeros((T, E))

    def bias(name: str) -> np.ndarray:
        return p.get(f"{name}_bias", np.zeros(len(p[name]), kind))

    state = {"embed.W_E": p["embedding"], "pos_embed.W_pos": p.get("positions", fixed.astype(kind))}
    for layer in range(model.layers):
        block = f"blocks.{layer}"
        for letter, name in (("Q", "query"), ("K", "key"), ("V", "value")):
            own = f"{block}.attention.{name}"
            state[f"{block}.attn.W_{letter}"] = p[own].reshape(H, E // H, E).transpose(0, 2, 1)
            state[f"{block}.attn.b_{letter}"] = bias(own).reshape(H, E // H)
        state[f"{block}.attn.W_O"] = p[f"{block}.attention.output"].T.reshape(H, E // H, E)
        state[f"{block}.attn.b_O"] = bias(f"{block}.attention.output")
        # Two buffers that TransformerLens stores with the parameters: who sees whom, and what a hidden score becomes.
        state[f"{block}.attn.mask"] = np.tri(T, dtype=bool)
        state[f"{block}.attn.IGNORE"] = np.array(-np.inf, np.float32)
        for side in ("in", "out"):
            state[f"{block}.mlp.W_{side}"] = p[f"{block}.mlp.{side}"].T
            state[f"{block}.mlp.b_{side}"] = bias(f"{block}.mlp.{side}")
        if model.norm == "pre":
            for name, own in (("ln1", "attention_norm"), ("ln2", "mlp_norm")):
                state[f"{block}.{name}.w"], state[f"{block}.{name}.b"] = p[f"{block}.{own}.gain"], p[f"{block}.{own}.bias"]
    if model.norm == "pre":
        state["ln_final.w"], state["ln_final.b"] = p["output_norm.gain"], p["output_norm.bias"]
    return state | {"unembed.W_U": p["output"].T, "unembed.b_U": bias("output")}


def transformer_lens_config(run: Run, n: int) -> dict[str, Any]:
    """Fields of a HookedTransformerConfig for `transformer_lens_state`, without the dtype, which JSON cannot hold."""
    model = run.model
    after = marks(model)
    return {
        "n_layers": model.layers,
        "d_model": model.width,
        "n_ctx": 2 + len(after),
        "d_head": model.width // model.heads,
        "n_heads": model.heads,
        "d_mlp": run.resolved()["mlp_width"],
        "d_vocab": n + len(after),
        "d_vocab_out": n,
        "act_fn": model.activation,
        "eps": 1e-5,
        "normalization_type": "LN" if model.norm == "pre" else None,
        "positional_embedding_type": "standard",
        "attention_dir": "causal",
        "attn_only": False,
        "use_attn_scale": True,
        "init_weights": False,
    }


# — the official implementation —

OFFICIAL_OPERATORS = {
    "addition": "+",
    "subtraction": "-",
    "multiplication": "*",
    "division": "/",
    "division_or_subtraction": "(x._value//y)if(y._value%2==1)else(x-y)_mod_97",
    "sum_of_squares": "x**2+y**2_mod_97",
    "quadratic_form": "x**2+y**2+x*y_mod_97",
    "quadratic_form_plus_x": "x**2+y**2+x*y+x_mod_97",
    "cubic_xy": "x**3+x*y_mod_97",
    "cubic_xyy_plus_y": "x**3+x*y**2+y_mod_97",
    "s5_product": "s5",
    "s5_conjugation": "s5conj",
    "s5_sandwich": "s5aba",
}
"""How the official implementation writes ∘ of each of the paper's tasks."""

_OTHER_OPERATORS = ("**2+", "**3+", "+*", "+-", "sort", "reverse", "copy")

OFFICIAL_VOCABULARY = (
    "<|eos|>",
    "=",
    *sorted([*OFFICIAL_OPERATORS.values(), *_OTHER_OPERATORS]),
    *map(str, range(97)),
    *("".join(order) for order in itertools.permutations("01234")),
)
"""The 239 tokens of the published code by number: end (which also begins), =, operators in the order of their characters, residues, S₅."""

_BEGINNINGS = ("begin", "<|bos|>", "<|eos|>")
_BUFFERS = ("position_encoding", "self_attn_mask")
_HEAD = re.compile(r"decoder\.blocks\.(\d+)\.self_attn\.attn_heads\.(\d+)\.W[qkv]\.weight")
_PARTS = {
    "attention.output": "self_attn.Wo.weight",
    "attention_norm.gain": "self_attn_norm.weight",
    "attention_norm.bias": "self_attn_norm.bias",
    "mlp.in": "ffn.ffn.0.weight",
    "mlp.out": "ffn.ffn.2.weight",
    "mlp_norm.gain": "ffn_norm.weight",
    "mlp_norm.bias": "ffn_norm.bias",
}


@dataclass(frozen=True)
class OfficialNetwork:
    """A network of the official implementation, its parameters under this house's names but for the whole vocabulary."""

    layers: int
    heads: int
    width: int
    mlp_width: int
    vocabulary: int
    arrays: Arrays

    def parameters(self, tokens: Tokens) -> dict[str, np.ndarray]:
        """The parameters of the run with these tokens: rows of the embedding and of the output that its task uses."""
        rows = [*tokens.elements, *tokens.after]
        return {**self.arrays, "embedding": self.arrays["embedding"][rows], "output": self.arrays["output"][list(tokens.elements)]}


@dataclass(frozen=True)
class Tokens:
    """Numbers of a task's tokens in a vocabulary."""

    elements: tuple[int, ...]
    after: tuple[int, ...]
    """∘ if there is one, =, begin if there is one."""
    has_operator: bool
    has_begin: bool


def is_official(names: Sequence[str]) -> bool:
    """Whether these are names of the official implementation's state dict."""
    return any(name.removeprefix("transformer.").startswith("decoder.blocks.") for name in names)


def official_network(state: Arrays) -> OfficialNetwork:
    """The network in an official state dict, with or without ``transformer.`` before its names; ValueError says which entries are wrong."""
    found = {name.removeprefix("transformer."): array for name, array in state.items()}
    if len(found) < len(state):
        raise ValueError("some of its entries are there twice, with and without 'transformer.'; expected one network.")
    heads = [match for match in map(_HEAD.fullmatch, found) if match]
    # Counted, not taken from the largest number, so that a hole in the numbering is an entry that is missing.
    L, H = len({match[1] for match in heads}), len({match[2] for match in heads})
    E = _side(found, "embedding.weight", 1)
    F = _side(found, "decoder.blocks.0.ffn.ffn.0.weight", 0)
    V = _side(found, "embedding.weight", 0)
    if not heads or E % H:
        raise ValueError(f"it has {H} heads of attention and a width of {E}; expected heads that divide the width.")
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (V, E), "linear.weight": (V, E)}
    for layer in range(L):
        block = f"decoder.blocks.{layer}"
        each: dict[str, tuple[int, ...]] = dict.fromkeys(_PARTS.values(), (E,))
        each |= {"self_attn.Wo.weight": (E, E), "ffn.ffn.0.weight": (F, E), "ffn.ffn.2.weight": (E, F)}
        each |= {f"self_attn.attn_heads.{h}.W{letter}.weight": (E // H, E) for h in range(H) for letter in "qkv"}
        shapes |= {f"{block}.{name}": shape for name, shape in each.items()}
    _check_entries(found, shapes)
    arrays = {"embedding": found["embedding.weight"], "output": found["linear.weight"]}
    for layer in range(L):
        theirs, ours = f"decoder.blocks.{layer}", f"blocks.{layer}"
        for letter, name in (("q", "query"), ("k", "key"), ("v", "value")):
            parts = [found[f"{theirs}.self_attn.attn_heads.{h}.W{letter}.weight"] for h in range(H)]
            arrays[f"{ours}.attention.{name}"] = np.concatenate(parts)
        arrays |= {f"{ours}.{name}": found[f"{theirs}.{part}"] for name, part in _PARTS.items()}
    return OfficialNetwork(L, H, E, F, V, arrays)


def _side(found: Arrays, name: str, axis: int) -> int:
    """One size of a matrix from which the others follow."""
    if name not in found:
        raise ValueError(f"{name} is missing; expected every entry of the official implementation's transformer.")
    if found[name].ndim != 2 or not found[name].size:
        raise ValueError(f"{name} has shape {found[name].shape}; expected a matrix.")
    return found[name].shape[axis]


def _check_entries(found: Arrays, shapes: Mapping[str, tuple[int, ...]]) -> None:
    wrong = [f"{name} is missing" for name in shapes if name not in found]
    wrong += [f"{name} does not belong to the official transformer" for name in found if name not in shapes and name not in _BUFFERS]
    wrong += [
        f"{name} has shape {found[name].shape}, expected {shape}"
        for name, shape in shapes.items()
        if name in found and found[name].shape != shape
    ]
    if wrong:
        raise ValueError("; ".join(wrong[:6]) + (f"; and {len(wrong) - 6} more" if len(wrong) > 6 else "") + ".")
    positions = found.get("position_encoding")
    if positions is not None:
        E = found["embedding.weight"].shape[1]
        if positions.ndim != 2 or positions.shape[1] != E or not np.allclose(positions, sinusoidal(len(positions), E).numpy(), atol=1e-5):
            raise ValueError("its position_encoding is not the sinusoidal one; expected sin at even and cos at odd places.")
    mask = found.get("self_attn_mask")
    if mask is not None and (mask.ndim != 2 or not np.array_equal(mask, np.tri(len(mask)))):
        raise ValueError("its self_attn_mask is not causal; expected ones on and below the diagonal.")


def tokens_of(
    elements: Sequence[str],
    run: Run,
    size: int,
    given: Mapping[str, int] | None = None,
    *,
    wants_begin: bool | None = None,
    wants_operator: bool | None = None,
) -> Tokens:
    """Where a task's elements and marks stand in a vocabulary of ``size`` tokens.

    ``given`` has the number of every token by its text. Without it, 239 tokens are `OFFICIAL_VOCABULARY`, and N + 2 or N + 3 are the
    elements, ∘, = and, of N + 3, the begin token. ValueError where a token has no number.
    """
    n = len(elements)
    own = [*(["∘"] if wants_operator is not False else []), "=", "begin"]
    is_own = size - n in (len(own) - 1, len(own))
    if given is None and size == len(OFFICIAL_VOCABULARY) and not is_own:
        given = {text: number for number, text in enumerate(OFFICIAL_VOCABULARY)}
    if given is None and is_own:
        # By number and not by name, so that elements may be written as they like.
        number, places = dict(zip(own, range(n, size), strict=False)), list(range(n))
    elif given is None:
        raise ValueError(
            f"its vocabulary has {size} tokens; expected {len(OFFICIAL_VOCABULARY)}, those of the published code, or {n + len(own) - 1} or "
            f"{n + len(own)}, the task's {n} elements, {', '.join(own[:-1])} and, of the latter, begin. Say which token has which number with "
            "--vocabulary FILE.json, or choose another task."
        )
    else:
        number, places = given, [given.get(text, -1) for text in elements]
        absent = [text for text in elements if text not in given]
        if absent:
            raise ValueError(
                f"the vocabulary has no {', '.join(absent[:5])}{' …' * (len(absent) > 5)}; expected every element of the task."
            )
    operator = next((number[text] for text in (_operator_of(run), "∘") if text and text in number), None)
    begin = next((number[text] for text in _BEGINNINGS if text in number), None)
    if "=" not in number:
        raise ValueError("the vocabulary has no =; expected the token at which answers are read.")
    for name, wanted, place, written in (
        ("operator_token", True if wants_operator is None else wants_operator, operator, f"{_operator_of(run) or '∘'}, or ∘"),
        ("begin_token", wants_begin, begin, ", ".join(_BEGINNINGS)),
    ):
        if wanted and place is None:
            raise ValueError(
                f"the vocabulary has no token for {name}; expected one that is written {written}, or --no-{name.replace('_', '-')}."
            )
    has_operator, has_begin = wants_operator is not False, begin is not None and wants_begin is not False
    after = [
        place for place, is_used in ((operator, has_operator), (number["="], True), (begin, has_begin)) if is_used and place is not None
    ]
    used = [*places, *after]
    if len(set(used)) < len(used) or not all(0 <= place < size for place in used):
        raise ValueError(f"the vocabulary gives two tokens one number, or a number outside 0 … {size - 1}, the rows of the embedding.")
    return Tokens(tuple(places), tuple(after), has_operator, has_begin)


def _operator_of(run: Run) -> str:
    """∘ as the official implementation writes it; the empty text where it has no such task."""
    return OFFICIAL_OPERATORS.get(str(run.canonical().get("operation", Task.operation)), "")
