"""Networks in and out: ``export`` writes a stored network for others, ``import`` makes a stored run of a network in a file.

A file that groklab wrote carries, beside the parameters, the run, the step and a checksum of both. A state dict of the official
implementation carries parameters alone; the rest is what the caller says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from safetensors.numpy import save

from groklab import registry
from groklab.config.checks import RunError
from groklab.config.run import Run
from groklab.config.table_file import as_stored, content_of
from groklab.data.tables import table_of
from groklab.laboratory.checks import check
from groklab.measures.task import MeasuredTask, take
from groklab.model.exchange import (
    is_official,
    marks,
    official_network,
    tokens_of,
    transformer_lens_config,
    transformer_lens_problems,
    transformer_lens_state,
)
from groklab.model.parameters import parameters_from
from groklab.model.passes import pass_of
from groklab.model.weights import read_weights
from groklab.outside.files import parsed_json, read_regular
from groklab.results.answers import packed_answers
from groklab.results.files import JSON_LIMIT, StoreError, make_folder, write_whole
from groklab.results.lock import Lock
from groklab.results.store import RunFolder
from groklab.stored.run import StoredRun
from groklab.text.values import shown
from groklab.training import engine
from groklab.training.answering import answers_of, evaluation
from groklab.training.batches import DTYPES, initial_of, network
from groklab.version import __version__

if TYPE_CHECKING:
    from groklab.model.parameters import Parameters

FORMAT = 1
"""Version of the description that goes with an exported network."""

_PARTS = {"format": int, "form": str, "id": str, "run_id": str, "step": int, "run": dict, "elements": list}

Arrays = Mapping[str, np.ndarray]


# — export —


def export_network(stored: StoredRun, output: Path, *, to: str = "safetensors", checkpoint: int | None = None) -> dict[str, Any]:
    """Write a run's network at a checkpoint, the last by default, to a .safetensors file, its description to the same name with .json.

    ``to`` is ``safetensors``, the parameters under groklab's own names, or ``transformer_lens``, the state dict of a
    HookedTransformer. ValueError for another ending and for a network that TransformerLens cannot express; StoreError where there is
    no such checkpoint, or the file cannot be written.
    """
    if output.suffix != ".safetensors":
        raise ValueError(f"--output: got {shown(str(output))}; expected a file that ends in .safetensors.")
    run = stored.run
    wrong = list(transformer_lens_problems(run)) if to == "transformer_lens" else []
    if wrong:
        raise RunError(wrong)
    stored.check_known()
    table, _, layout = network(run)
    step, arrays = stored.folder.read_step("checkpoints", checkpoint)
    parameters_from(layout, arrays, dtype=DTYPES[run.training.precision], of=f"{stored.id}, checkpoint at step {step:,}: ")
    described: dict[str, Any] = {
        "format": FORMAT,
        "form": to,
        "groklab": __version__,
        "id": stored.id,
        "run_id": _run_id(stored),
        "step": step,
    }
    described |= {"run": run.to_dict(), "elements": list(table.elements), "parameters": {"total": layout.size}}
    if run.task.file is not None:
        beside = Path(f"{output}.csv")
        _write(beside, content_of(run.task.file))
        described["run"]["task"] |= {"file": beside.name, "reader": run.table_file.reader}
    if to == "transformer_lens":
        arrays = transformer_lens_state(arrays, run.model)
        described |= {"vocabulary": [*table.elements, *marks(run.model)], "answer": "logits at the last position"}
        described |= {"config": transformer_lens_config(run, table.n), "dtype": run.training.precision}
    whole = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    text = json.dumps(described, ensure_ascii=False, allow_nan=False)
    _write(output, save(whole, metadata={"groklab": text, "sha256": _digest(text, whole)}))
    _write(Path(f"{output}.json"), (json.dumps(described, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode())
    return {"run": stored.id, "step": step, "to": to, "output": str(output), "description": f"{output}.json"}


def _run_id(stored: StoredRun) -> str:
    """The id of a stored run; as it was written down where an optimizer or a measure of a plugin is not loaded."""
    try:
        return stored.run.id
    except ValueError:
        return str(stored.folder.description().get("id", stored.id))


def _write(path: Path, content: bytes) -> None:
    try:
        make_folder(path.parent)
        write_whole(path, content)
    except StoreError as error:  # whose advice is of the results folder
        reason = getattr(error.__cause__, "strerror", None) or str(error)
        raise StoreError(
            f"--output: {path} cannot be written ({reason}). Choose another file or folder; what was there is intact."
        ) from error


def _digest(text: str, arrays: Arrays) -> str:
    """A checksum of a description and of every name, type, shape and number."""
    digest = hashlib.sha256(text.encode())
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


# — reading —


class Found(NamedTuple):
    """What a file of weights holds."""

    arrays: dict[str, np.ndarray]
    described: dict[str, Any] | None
    """What groklab wrote of it; None where somebody else wrote the file."""
    step: int | None


def read_network(path: Path) -> Found:
    """Arrays by name from a .safetensors or PyTorch file, and what groklab says of them where it wrote the file.

    ValueError where the file is neither, is damaged or would execute code, and where weights are not finite.
    """
    arrays, facts = read_weights(path)
    bad = [name for name, array in arrays.items() if not np.isfinite(array).all() and not name.endswith(".IGNORE")]
    if bad:
        raise ValueError(f"{path}: {', '.join(bad[:3])}: got numbers that are infinite or nan; expected the weights of a working network.")
    if "groklab" not in facts:
        return Found(arrays, None, int(facts["step"]) if facts.get("step", "").isdecimal() else None)
    if facts.get("sha256") != _digest(facts["groklab"], arrays):
        raise ValueError(f"{path}: got a checksum that does not fit the content; expected what groklab wrote. Export it again.")
    described: Any = parsed_json(facts["groklab"].encode())
    if not isinstance(described, dict) or not all(isinstance(described.get(name), kind) for name, kind in _PARTS.items()):
        raise ValueError(f"{path}: got a description that is not groklab's; expected a file of `groklab export`. Export it again.")
    if described["format"] > FORMAT:
        raise ValueError(f"{path}: got format {described['format']}; expected at most {FORMAT}. Install a newer groklab to read it.")
    return Found(arrays, described, described["step"])


# — import —


def import_network(
    path: Path, *, runs: str | Path = "runs", step: int | None = None, vocabulary: Path | None = None, **fields: Any
) -> StoredRun:
    """A stored run of the network in a file: one checkpoint, its answers, and one evaluation on the task.

    A file that groklab exported says which run it is of; for a state dict of the official implementation ``fields`` say it, by the
    names of a run's leaves, ``step`` how long it was trained, and ``vocabulary`` names a JSON file with the number of every token.
    The run's id begins with ``imported-`` and ends in twelve digits of a hash, where those of trained runs have eight: training never
    takes it for its own. Importing a file again finds what is stored. ValueError names what is wrong with the file or the fields.
    """
    found = read_network(path)
    if step is not None and step < 0:
        raise ValueError(f"--step: got {step}; expected a number of updates, at least 0.")
    if step is not None and found.step is not None and step != found.step:
        raise ValueError(f"--step: got {step:,}; expected {found.step:,}, which {path} says. Leave it out.")
    at = found.step if found.step is not None else step or 0
    numbers = None if vocabulary is None else _numbers(vocabulary)
    source = {"file": path.name, "from": "official" if found.described is None else "groklab", "step": at}
    try:
        if found.described is not None:
            run, parameters, notes = _of_groklab(path, found.described, numbers, fields), found.arrays, [ONE_EVALUATION]
            source["id"] = found.described["id"]
        elif is_official(list(found.arrays)):
            run, parameters = _of_official(found.arrays, numbers, fields)
            notes = [ONE_EVALUATION, OFFICIAL] + ([NO_STEP] if found.step is None and step is None else [])
        else:
            names = ", ".join(list(found.arrays)[:3])
            raise ValueError(
                f"got entries such as {names or 'none'}; expected a file of `groklab export --to safetensors`, or a state dict of the official "
                "implementation (embedding.weight, decoder.blocks.0.self_attn.attn_heads.0.Wq.weight, …)."
            )
        # Where and how it was computed is of another machine, and nothing is trained here.
        run = run.replace(steps=max(1, at), stop="never", measures=("weight_norm",), device="auto", path="auto")
        return _stored(run, at, parameters, source, notes, Path(runs))
    except RunError:
        raise
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


ONE_EVALUATION = "its history is this one evaluation: what it knows there it may have known at any step before."
OFFICIAL = (
    "a state dict does not say how it was trained: operation, optimizer, seeds and split are those of the command or the defaults, so that "
    "cells called train may be others than those it was trained on, and its initial weights are unknown. Answers are taken among the "
    "task's elements, where the official implementation takes them among all of its tokens."
)
NO_STEP = "its file does not say after how many updates it was written; step 0 stands for that. Give --step N where you know it."


def _of_groklab(path: Path, described: dict[str, Any], numbers: Mapping[str, int] | None, fields: Mapping[str, Any]) -> Run:
    """The run that an exported file says it is of."""
    if described["form"] != "safetensors":
        raise ValueError(f"it was exported to {described['form']}; expected an export to safetensors, which can be read back.")
    given = [name for name in fields if name != "file"] + ["vocabulary"] * (numbers is not None)
    if given:
        raise ValueError(
            f"got {', '.join(given)}; expected none, for the file says which run it is of. Leave {'it' if len(given) == 1 else 'them'} out."
        )
    run = Run.from_dict(as_stored(described["run"]))
    if run.task.file is not None:
        table = Path(fields.get("file") or path.with_name(run.task.file))
        if not table.is_file():
            raise ValueError(f"its table {table.name} is not beside it; expected that file there, or --file TABLE.csv.")
        run = run.replace(file=str(table))
    elif "file" in fields:
        raise ValueError("got a file; expected none, for its task is no table from a file. Leave --file out.")
    try:
        is_same = run.id == described["run_id"] and list(table_of(run.task).elements) == described["elements"]
    except ValueError as error:  # a plugin's names are not known
        raise ValueError(f"{error} If it is of a plugin, name that with --plugin FILE.py.") from error
    if not is_same:
        raise ValueError(
            f"here its settings are those of {run.id}, but it was {described['run_id']}: expected the same table, plugins and groklab. Restore "
            "the one that was changed."
        )
    return run


def _of_official(arrays: Arrays, numbers: Mapping[str, int] | None, fields: Mapping[str, Any]) -> tuple[Run, dict[str, np.ndarray]]:
    """The run and parameters of an official state dict, with what the fields say of it."""
    theirs = official_network(arrays)
    is_double = theirs.arrays["embedding"].dtype == np.float64
    known: dict[str, Any] = {"architecture": "transformer", "layers": theirs.layers, "heads": theirs.heads, "width": theirs.width}
    known |= {"mlp_width": theirs.mlp_width, "norm": "post", "positions": "sinusoidal", "biases": False, "mlp_biases": False}
    known |= {"attention": "learned", "precision": "float64" if is_double else "float32"}
    other = [
        f"{name} {shown(fields[name])}, expected {shown(known[name])}" for name in known if name in fields and fields[name] != known[name]
    ]
    if other:
        raise ValueError(f"got {'; '.join(other)}: this is what the network in the file has. Leave such fields out.")
    usual = {"mlp_width": None} if theirs.mlp_width == 4 * theirs.width else {}
    run = Run.of(**(dict(fields) | known | usual))
    check(run)
    wants = {name: fields.get(f"{name}_token") for name in ("begin", "operator")}
    elements = table_of(run.task).elements
    tokens = tokens_of(elements, run, theirs.vocabulary, numbers, wants_begin=wants["begin"], wants_operator=wants["operator"])
    return run.replace(begin_token=tokens.has_begin, operator_token=tokens.has_operator), theirs.parameters(tokens)


def _numbers(path: Path) -> dict[str, int]:
    """The number of every token in a vocabulary file."""
    expected = 'expected a JSON object with the number of every token by its text, such as {"<|eos|>": 0, "=": 1, "/": 2, "0": 3}'
    try:
        content: Any = parsed_json(read_regular(path, JSON_LIMIT))
    except OSError as error:
        raise ValueError(f"--vocabulary: got {shown(str(path))}; {expected} ({error.strerror}).") from None
    except ValueError as error:
        raise ValueError(f"--vocabulary: got {shown(str(path))}, which is not JSON ({error}); {expected}.") from None
    if not isinstance(content, dict) or not all(type(number) is int for number in content.values()):
        raise ValueError(f"--vocabulary: got {shown(str(path))}; {expected}.")
    return content


def _stored(run: Run, step: int, arrays: Arrays, source: Mapping[str, Any], notes: list[str], runs: Path) -> StoredRun:
    """Write the folder of an imported run, unless it is there already; what a killed import has left is written again."""
    check(run)
    _, _, layout = network(run)
    parameters = parameters_from(layout, arrays, dtype=DTYPES[run.training.precision])
    named = parameters.to_numpy()
    content = _digest(f"{run.id} {step}", named)[:12]
    folder = RunFolder(runs / f"imported-{run.id.rsplit('-', 1)[0]}-{content}")
    if folder.exists and folder.status() == "complete":
        return StoredRun(folder, folder.run())
    row, answers = _evaluated(run, parameters, step)
    make_folder(folder.path)
    with Lock(folder.path):
        folder.clean()
        folder.create(run, engine.parameter_counts(run))
        folder.cut_history(None)
        folder.write_step("answers", step, packed_answers(answers.answer, answers.probability))
        folder.write_step("checkpoints", step, named)
        folder.append(row)
        here = engine.segment(run.replace(device="cpu", path="batched"), step)
        message = f"imported from {source['file']}"
        folder.update(status="complete", message=message, imported=dict(source), warnings=notes, segments=[here])
    return StoredRun(folder, folder.run())


@torch.no_grad()
def _evaluated(run: Run, parameters: Parameters, step: int) -> tuple[dict[str, Any], Any]:
    """The row of the history that this network makes, and its answers in every cell."""
    table, split, layout = network(run)
    forward = pass_of(registry.look_up("architecture", registry.parse_call(run.model.architecture).name))
    answers = answers_of(run, table, split, parameters, forward)
    row = evaluation(run, table, split, answers, step)
    if not np.isfinite([row["train_loss"], row["validation_loss"]]).all():
        raise ValueError(f"{run.id}: got a loss that is not finite from the imported weights; expected those of a working network.")
    surroundings = MeasuredTask(run, table, split, initial_of(run, layout), step)
    return row | take(run.budget.measures, parameters, surroundings), answers
