"""Whether a stored state is one from which a run can go on."""

from __future__ import annotations

from groklab import registry
from groklab.config.run import Run
from groklab.model.parameters import parameters_from
from groklab.training.batches import DTYPES, State, network


def state_problem(run: Run, state: State) -> str | None:
    """Why a state is not one of this run, in words; None where it is: parameters and moments have the network's names and shapes."""
    _, _, layout = network(run)
    optimizer = registry.look_up("optimizer", registry.parse_call(run.training.optimizer).name)
    for family in ("parameters", *optimizer.facts["memory"]):
        arrays = {name.removeprefix(f"{family}/"): array for name, array in state.arrays.items() if name.startswith(f"{family}/")}
        try:
            parameters_from(layout, arrays, dtype=DTYPES[run.training.precision])
        except ValueError as error:
            return f"{family}: {error}"
    strange = [name for name, array in state.arrays.items() if array.dtype.kind not in "fiub"]
    return f"{strange[0]} holds no numbers" if strange else None
