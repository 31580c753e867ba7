"""What the verbs that carry networks out and in take: export, import."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from groklab.arguments.parsing import Where, fields_in
from groklab.config.fields import Model, Seeds, Task, Training, leaves


@dataclass(frozen=True)
class ExportArguments:
    """Write the network of a stored run to one .safetensors file, and what it is to a .json file beside it."""

    which: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Id, unique prefix of one, path, or latest."""
    to: Literal["safetensors", "transformer_lens"]
    """safetensors: under groklab's own names, to be read back; transformer_lens: the state dict of a HookedTransformer."""
    output: Path
    """File to write, .safetensors; the description goes to the same name with .json after it."""
    checkpoint: int | None = None
    """Step of the stored checkpoint; the last by default."""
    plugin: tuple[Path, ...] = ()
    """Python files to import first."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)


@dataclass(frozen=True)
class ImportArguments:
    """Make a stored run of a network in a file: one that groklab exported, or a state dict of the official implementation.

    Which task an official network has learned does not stand in its file: the flags say it, as they do for train.
    """

    source: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """.safetensors, or a PyTorch file (.pt, .ckpt …) of tensors; one whose reading would execute code is refused."""
    task: Annotated[Task, tyro.conf.arg(name="")] = field(default_factory=Task)
    model: Annotated[Model, tyro.conf.arg(name="")] = field(default_factory=Model)
    training: Annotated[Training, tyro.conf.arg(name="")] = field(default_factory=Training)
    seeds: Annotated[Seeds, tyro.conf.arg(name="")] = field(default_factory=Seeds)
    step: int | None = None
    """Updates that the network was trained for, where its file does not say it."""
    vocabulary: Path | None = None
    """JSON file with the number of every token by its text, where an official network has a vocabulary of its own."""
    plugin: tuple[Path, ...] = ()
    """Python files that register what the run uses."""
    where: Annotated[Where, tyro.conf.arg(name="")] = field(default_factory=Where)

    def fields(self, words: Sequence[str]) -> dict[str, Any]:
        """The fields of a run that these words name, with their values; what they do not name is the file's to say."""
        flags = fields_in(words)
        parts = {"task": self.task, "model": self.model, "training": self.training, "seeds": self.seeds}
        return {name: getattr(parts[group], name) for name, group in leaves().items() if name in flags and group in parts}
