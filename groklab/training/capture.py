"""One update of a batch of runs, recorded once and replayed: on a CUDA device as a CUDA graph, which launches all its kernels at once.

A tiny network's update is a few hundred kernels of some microseconds each; launched one by one, it is the host that limits them. A
recording reads and writes the same memory each time, so whatever differs between updates (examples, learning rates, the step)
is copied into buffers before it runs. On other devices the same buffers serve the same calls, made one by one: there a recording
is the function with the moment at which it was made, so that what must not be recorded shows as a difference in the numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from groklab.registry import Entry
from groklab.training.acting import Acting
from groklab.training.moments import Moment
from groklab.training.plans import Plan

#: Updates made call by call before one is recorded: in the first ones libraries choose kernels and allocate their workspaces.
WARM_UPS = 3


class Capture:
    """The buffers of an update of R runs, and its recording for as long as the same interventions are at work."""

    def __init__(self, plan: Plan, step: int, device: str) -> None:
        self.plan, self.device = plan, device
        rate, number = plan.rate_and_step(step)
        self.chosen, self.rate, self.clock = plan.chosen(step).clone(), rate.clone(), number.double()
        """(R, B) examples, (R, 1) learning rates and () number, as float64, of the update being made."""
        self.is_on = self.is_recording = False
        """Whether the update now being made reads the buffers, and whether it is only recorded, not made."""
        self.message = ""
        """Why updates are no longer recorded, once that has failed."""
        self._at_work: list[Acting] = []
        self._replay: Callable[[], Any] | None = None
        self._warmed_up = 0

    def update(self, step: int, at_work: Sequence[Acting], moment: Callable[[], Moment], make: Callable[[Moment], None]) -> bool:
        """Make the update that begins at this step, or tell that it has to be made without buffers: nothing was done then.

        ``make`` makes an update; it is recorded for the interventions at work, and again when others are.
        """
        if self.message:
            return False
        if list(at_work) != self._at_work:
            self._at_work, self._replay, self._warmed_up = list(at_work), None, 0
        self._fill(step)
        self.is_on = True
        try:
            if self._warmed_up < WARM_UPS:
                warm_up(make, moment(), self.device)
                self._warmed_up += 1
                return True
            if self._replay is None:
                self._replay = self._recorded(make, moment())
            if self._replay is not None:
                self._replay()
            return self._replay is not None
        finally:
            self.is_on = False

    def _fill(self, step: int) -> None:
        rate, number = self.plan.rate_and_step(step)
        self.chosen.copy_(self.plan.chosen(step))
        self.rate.copy_(rate)
        self.clock.copy_(number)

    def _recorded(self, make: Callable[[Moment], None], moment: Moment) -> Callable[[], Any] | None:
        self.is_recording = True
        try:
            return recorded(make, moment, self.device)
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.message = FAILED.format(reason=str(error).strip().split("\n")[0])
            return None
        finally:
            self.is_recording = False


FAILED = "updates cannot be recorded as a CUDA graph here ({reason}); they are launched call by call, with the same numbers, but slower."


def warm_up(make: Callable[[Moment], None], moment: Moment, device: str) -> None:
    """Make an update that is soon to be recorded; on a CUDA device aside from the stream in use, as recording needs it."""
    if not device.startswith("cuda"):
        make(moment)
        return
    current, aside = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    aside.wait_stream(current)
    with torch.cuda.stream(aside):
        make(moment)
    current.wait_stream(aside)


def recorded(make: Callable[[Moment], None], moment: Moment, device: str) -> Callable[[], Any]:
    """The calls of an update, to be repeated; they are not carried out now."""
    if not device.startswith("cuda"):
        return lambda: make(moment)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device), torch.cuda.graph(graph):
        make(moment)
    return graph.replay


def is_capturable(optimizer: Entry, at_work: Iterable[Acting]) -> bool:
    """Whether one recording of an update serves every step while these interventions are at work: all of them must say so."""
    return bool(optimizer.facts.get("capturable")) and all(acting.is_capturable for acting in at_work)
