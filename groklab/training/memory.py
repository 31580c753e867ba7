"""How many runs a GPU's memory holds at once, and whether a machine holds one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from groklab import registry
from groklab.config.checks import FieldError
from groklab.config.run import Run
from groklab.model.parameters import Parameters
from groklab.model.passes import pass_of
from groklab.text.values import shown
from groklab.training.acting import Acting, acting_for
from groklab.training.answering import EVALUATION_CHUNK
from groklab.training.batches import DTYPES, batch_size, network
from groklab.training.devices import all_rows
from groklab.training.plans import EXAMPLES, UPDATES

#: Share of the free memory that runs are planned for: the rest is for what the estimate does not see, and for fragments.
SAFE_SHARE = 0.8

#: Blocks of all parameters beside the optimizer's and the interventions': the weights, the initial ones, the gradient twice (as
#: automatic differentiation gives it and side by side), the direction, and three temporaries of the optimizer and the decay.
BLOCKS = 8

#: What the backward pass and the kernels need beside what the forward pass keeps for them, as a factor on that.
TEMPORARIES = 2.0


def free_bytes(device: str) -> int:
    """Memory of a CUDA device that nothing uses, that which torch holds for later included."""
    index = torch.device(device).index if ":" in device else torch.cuda.current_device()
    free, _ = torch.cuda.mem_get_info(index)
    return free + torch.cuda.memory_reserved(index) - torch.cuda.memory_allocated(index)


def runs_that_fit(run: Run, free: int) -> int:
    """How many runs of this shape so much free memory, in bytes, trains at once; at least one."""
    return max(1, int(SAFE_SHARE * free / bytes_of_run(run)))


def bytes_of_run(run: Run) -> int:
    """Memory of one of many runs that share their calls: its blocks of parameters, its data, and the activations of its passes.

    The activations are those of an update, kept for the backward pass, and of a chunk of an evaluation; both, because memory
    of a recorded update is not lent to an evaluation. They are counted by a pass on torch's meta device, which computes nothing.
    """
    table, split, layout = network(run)
    dtype = DTYPES[run.training.precision]
    number = dtype.itemsize
    size = batch_size(run, len(split.train))
    entry = registry.look_up("optimizer", registry.parse_call(run.training.optimizer).name)
    blocks = BLOCKS + len(entry.facts["memory"])
    remembered = sum(_bytes_of_memory(acting, layout.size, dtype) for acting in acting_for([run], _one))
    planned = 8 * min(UPDATES * size, EXAMPLES) * 2  # the plan in use and the next one
    data = 8 * 3 * (len(split.train) + len(table.x))
    answers = 3 * 8 * len(table.x)
    chunk = min(EVALUATION_CHUNK, len(table.x))
    asked = _bytes_of_pass(run, chunk) + 4 * 8 * chunk * table.n  # logits in float64, their log-softmax, and temporaries of the loss
    update = int(TEMPORARIES * _bytes_of_pass(run, size))
    return blocks * number * layout.size + remembered + planned + data + answers + update + asked


def memory_problems(run: Run) -> Iterator[FieldError]:
    """A network that this machine cannot hold while it is trained, told before anything is made of it: by its blocks of parameters alone."""
    _, _, layout = network(run)
    entry = registry.look_up("optimizer", registry.parse_call(run.training.optimizer).name)
    needed = (BLOCKS + len(entry.facts["memory"])) * DTYPES[run.training.precision].itemsize * layout.size
    there = memory_of_machine()
    if there is None or needed <= there:
        return
    sizes = {"mlp_width": run.resolved()["mlp_width"] * run.model.width, "width": 4 * run.model.width**2}
    field = max(sizes, key=lambda name: sizes[name])
    told = f"{layout.size:,} parameters, whose training takes {_gigabytes(needed)}; this machine has {_gigabytes(there)}"
    yield FieldError(
        field, problem=f"got {shown(run.resolved()[field])}, with which the network has {told}. Choose a smaller network.", value=None
    )


def memory_of_machine() -> int | None:
    """Bytes of memory that this machine has; None where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _gigabytes(amount: int) -> str:
    return f"{amount / 1e9:,.0f} GB" if amount < 10**15 else "more than a million GB"


def _one(values: Sequence[Any]) -> Any:
    return values[0]


def _bytes_of_memory(acting: Acting, size: int, dtype: torch.dtype) -> int:
    """What an intervention remembers, as its rule makes it from a first value."""
    if not acting.remembers:
        return 0
    first = acting.first_memory(torch.empty(1, size, dtype=dtype, device="meta"))
    parts: tuple[Tensor, ...] = (first,) if isinstance(first, Tensor) else first
    return sum(part.numel() * part.element_size() for part in parts)


def _bytes_of_pass(run: Run, size: int) -> int:
    """Bytes that a forward pass on ``size`` examples keeps for its backward pass, of one of two runs; parameters not counted."""
    table, _, layout = network(run)
    kept: dict[int, int] = {}
    flat = torch.empty(2, layout.size, dtype=DTYPES[run.training.precision], device="meta")
    leaves = {name: view.requires_grad_() for name, view in Parameters(layout, flat).items()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    elements = torch.zeros(2, size, dtype=torch.int64, device="meta")
    forward = pass_of(registry.look_up("architecture", registry.parse_call(run.model.architecture).name))
    loss = registry.parse_call(run.training.loss)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = forward(leaves, run.model, all_rows(elements, elements, table.n), table.n)
        registry.look_up("loss", loss.name).function(logits, elements, **registry.settings_of("loss", run.training.loss))
    kept.pop(flat.untyped_storage()._cdata, None)
    return sum(kept.values()) // 2
