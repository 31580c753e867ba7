"""One batch of runs: parameters, moments and data of R runs that advance together, update by update.

On a GPU the R runs share every call. On the CPU the engine makes batches of one run, so that a run's numbers are the same bit
for bit whatever is trained beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from groklab import registry
from groklab.config.run import Run
from groklab.data.splits import Split, split_of
from groklab.data.table import Table
from groklab.data.tables import table_of
from groklab.model.batched import examples
from groklab.model.parameters import Layout, Parameters, initial_parameters, parameters_from
from groklab.model.passes import pass_of
from groklab.model.transformer import See, unchanged
from groklab.training.acting import acting_for, shared_settings
from groklab.training.answering import Answers, Looked, Questions, answers_of
from groklab.training.capture import Capture, is_capturable
from groklab.training.devices import all_rows, arrays_of, to_host, with_fixed_positions
from groklab.training.moments import Moment, Number
from groklab.training.paths import CompiledPath, path_of, reference_gradients
from groklab.training.plans import Plan

DTYPES = {"float32": torch.float32, "float64": torch.float64}


class State(NamedTuple):
    """Everything that training needs to go on from a step as if it had never stopped."""

    step: int
    arrays: dict[str, np.ndarray]
    """``parameters/NAME`` and one such family for each of the optimizer's moments."""


def network(run: Run) -> tuple[Table, Split, Layout]:
    """The table, split and parameter layout of a run."""
    table = table_of(run.task)
    call = registry.parse_call(run.model.architecture)
    return table, split_of(run), registry.look_up("architecture", call.name).function(run, table.n, **dict(call.settings))


def batch_size(run: Run, n_train: int) -> int:
    """Examples per update: the paper's min(512, ⌈n_train / 2⌉) unless the run says otherwise."""
    asked = run.training.batch_size
    if asked == "half":
        return min(512, -(-n_train // 2))
    return n_train if asked == "full" else asked


def shape_of(run: Run) -> tuple[Any, ...]:
    """What runs must agree in to share one batch of runs."""
    training = run.training
    calls = [("optimizer", training.optimizer), ("loss", training.loss), *(("intervention", text) for text in training.interventions)]
    shared = tuple(shared_settings(kind, text) for kind, text in calls)
    return (
        run.model,
        training.precision,
        shared,
        table_of(run.task).n,
        batch_size(run, len(split_of(run).train)),
        run.budget.device,
        run.budget.path,
    )


class Batch:
    """R runs at the same step; ``update`` advances all of them by one update."""

    def __init__(
        self, runs: Sequence[Run], *, device: str, states: Sequence[State | None] | None = None, capture: bool | None = None
    ) -> None:
        """R fresh or continued runs; ``capture`` says whether updates are recorded and replayed, by default on CUDA devices only."""
        self.runs, self.device = list(runs), device
        self.dtype = DTYPES[runs[0].training.precision]
        parts = [network(run) for run in runs]
        self.tables, self.splits, self.layout = [p[0] for p in parts], [p[1] for p in parts], parts[0][2]
        self.n = self.tables[0].n
        self.size = batch_size(runs[0], len(self.splits[0].train))
        self.initial = self._stacked([initial_of(run, self.layout) for run in runs])
        self.is_captured = (device.startswith("cuda") and runs[0].budget.path != "reference") if capture is None else capture
        """Whether updates may be recorded."""
        self._choose_functions()
        self.interventions = acting_for(runs, self._numbers)
        self._load(states or [None] * len(runs))
        self._move_data()
        self.path = path_of(runs[0], device).name if len(runs) == 1 and not self.is_captured else "batched"
        self.compiled: CompiledPath | None = None
        if self.path == "compiled":
            self.compiled = CompiledPath(runs[0], self.layout, self.n, self.size, self.parameters.flat, self.gradient.flat)
        is_plain = self.decay_mask is None and self.rate_scale is None and self.frozen is None
        self._is_plain_adam = is_plain and self.optimizer.facts.get("compiled") == "adam"
        self.first_bad_step = torch.zeros(len(runs), dtype=torch.int64, device=device)
        self.is_whole = True
        """Whether parameters and memories all belong to ``step``; not so in the midst of an update."""
        self.remembers_before_gradients = any(a.remembers and a.at in ("forward", "activations") for a in self.interventions)
        self.masks: dict[str, Tensor] = {}
        self.questions: Questions | None = None
        self.plan = Plan(runs, self.train_counts, self.size, device=device, dtype=self.dtype)
        self.capture = Capture(self.plan, self.step, device) if self.is_captured else None
        for acting in self.interventions:
            acting.keeps_place = self.is_captured

    # — set-up —

    def _stacked(self, singles: Sequence[Parameters]) -> Parameters:
        return Parameters(self.layout, torch.cat([p.flat for p in singles]).to(self.device))

    def _choose_functions(self) -> None:
        training = self.runs[0].training
        entry = registry.look_up("architecture", registry.parse_call(self.runs[0].model.architecture).name)
        self.asks_all_rows = self.device != "cpu" or self.is_captured
        self.forward = pass_of(entry)
        if self.asks_all_rows:
            self.forward = with_fixed_positions(self.forward, self.runs[0].model, self.device, self.dtype)
        call = registry.parse_call(training.loss)
        self.loss = registry.look_up("loss", call.name).function
        self.loss_settings = self._settings("loss")
        self.noise_seeds = [run.seeds.of("noise") for run in self.runs]
        self.optimizer = registry.look_up("optimizer", registry.parse_call(training.optimizer).name)
        self.optimizer_settings = self._settings("optimizer")
        values = [run.resolved() for run in self.runs]
        self.decay = self._numbers([v["weight_decay"] for v in values])
        self.betas = self._numbers([v["betas"][0] for v in values]), self._numbers([v["betas"][1] for v in values])
        masks = [self.layout.mask(run.training.decay_parameters) for run in self.runs]
        self.decay_mask = None if all(bool(mask.all()) for mask in masks) else torch.stack(masks).to(self.device, self.dtype)
        self.rate_scale = self._rate_scale([v["learning_rate"] for v in values])
        frozen = entry.facts["frozen"](self.runs[0].model) if "frozen" in entry.facts else ()
        self.frozen = self.layout.mask(frozen).bool().to(self.device) if frozen else None

    def _rate_scale(self, learning_rates: Sequence[float]) -> Tensor | None:
        """(R, P) factors on the learning rate where the optimizer treats some parameters differently."""
        rates = self.optimizer.facts.get("rates")
        if rates is None:
            return None
        settings = [registry.settings_of("optimizer", run.training.optimizer) for run in self.runs]
        scales = [rates(self.layout, own, rate) for own, rate in zip(settings, learning_rates, strict=True)]
        return torch.stack(scales).to(self.device, self.dtype)

    def _settings(self, field: str, like: Tensor | None = None) -> dict[str, Any]:
        """Settings of a registered call, one number for all runs or an (R, 1) tensor where they differ."""
        settings = [registry.settings_of(field, getattr(run.training, field)) for run in self.runs]
        return {name: self._numbers([s[name] for s in settings], like) for name in settings[0]}

    def _numbers(self, values: Sequence[Any], like: Tensor | None = None) -> Any:
        if all(value == values[0] for value in values):
            return values[0]
        return (self.initial.flat if like is None else like).new_tensor(values)[:, None]

    def _load(self, states: Sequence[State | None]) -> None:
        steps = {0 if state is None else state.step for state in states}
        assert len(steps) == 1, "runs of one batch stand at the same step"
        self.step = self.first_step = steps.pop()
        families = self.optimizer.facts["memory"]

        def family(name: str) -> Parameters:
            singles: list[Parameters] = []
            for r, state in enumerate(states):
                if state is None:
                    fresh = self.initial.of_run(r)
                    singles.append(fresh.clone() if name == "parameters" else fresh.zeros())
                else:
                    arrays = {k.removeprefix(f"{name}/"): v for k, v in state.arrays.items() if k.startswith(f"{name}/")}
                    singles.append(parameters_from(self.layout, arrays, device=self.device, dtype=self.dtype))
            return self._stacked(singles)

        self.parameters = family("parameters")
        self.memory = {name: family(name) for name in families}
        self.gradient = self.parameters.zeros()
        arrays = [{} if state is None else state.arrays for state in states]
        for acting in self.interventions:
            acting.load(arrays, self.device)

    def _move_data(self) -> None:
        """Training examples of every run, (R, n_train) padded to the largest, on the device."""
        self.train_counts = [len(split.train) for split in self.splits]
        width = max(self.train_counts)

        def padded(rows: Sequence[np.ndarray]) -> Tensor:
            data = np.zeros((len(rows), width), np.int64)
            for r, row in enumerate(rows):
                data[r, : len(row)] = row
            return torch.from_numpy(data).to(self.device)

        pairs = list(zip(self.tables, self.splits, strict=True))
        self.train_a = padded([table.x[split.train] for table, split in pairs])
        self.train_b = padded([table.y[split.train] for table, split in pairs])
        self.train_labels = padded([split.labels[split.train] for _, split in pairs])

    # — training —

    def chosen(self) -> Tensor:
        """(R, B) positions in the training set of the next update's examples."""
        return self.capture.chosen if self.capture is not None and self.capture.is_on else self.plan.chosen(self.step)

    def gradients(self, moment: Moment | None = None, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Loss of every run, (R,), and its gradient, (R, P), on the next update's examples, at these weights or the present ones."""
        moment = moment or self.moment()
        seen = self.parameters.flat if weights is None else weights
        for acting in self._at("forward", moment):
            seen = acting.act(seen, moment)
        see = self._see(moment)
        chosen = self.chosen()
        a, b = self.train_a.gather(1, chosen), self.train_b.gather(1, chosen)
        if self.path != "batched":
            return self._of_one(seen, (a[0], b[0], self.train_labels.gather(1, chosen)[0]), is_own=weights is None)
        given = all_rows(a, b, self.n) if self.asks_all_rows and see is unchanged else examples(a, b, self.n, shared=see is unchanged)
        leaves = {name: view.detach().requires_grad_() for name, view in Parameters(self.layout, seen).items()}
        with torch.enable_grad():
            logits = self.forward(leaves, self.runs[0].model, given, self.n, see=see)
            losses = self.loss(logits, self.train_labels.gather(1, chosen), **self.loss_settings).mean(-1)
            gradients = torch.autograd.grad(losses.sum(), list(leaves.values()), allow_unused=True, materialize_grads=True)
        into = self.gradient if weights is None else self.parameters.zeros()
        torch.cat([gradient.flatten(1) for gradient in gradients], dim=1, out=into.flat)
        if self.frozen is not None:
            into.flat.masked_fill_(self.frozen, 0.0)
        return losses.detach(), into.flat

    def _of_one(self, seen: Tensor, examples: tuple[Tensor, Tensor, Tensor], *, is_own: bool) -> tuple[Tensor, Tensor]:
        """Losses and gradient of the only run, by the compiled path or the reference."""
        if self.compiled is not None:
            losses, found = self.compiled.gradients(seen, examples, self.loss, self.loss_settings)
        else:
            losses, found = reference_gradients(self.runs[0], self.layout, self.n, seen, examples, self.loss, self.loss_settings)
        into = self.gradient.flat if is_own else torch.empty_like(found)
        if into.data_ptr() != found.data_ptr():
            into.copy_(found)
        if self.frozen is not None:
            into.masked_fill_(self.frozen, 0.0)
        return losses, into

    def _at(self, point: str, moment: Moment) -> list[Any]:
        return [acting for acting in self.interventions if acting.at == point and acting.is_on(moment.step)]

    def _see(self, moment: Moment) -> See:
        """What the activations pass through."""
        acting_here = self._at("activations", moment)
        if not acting_here:
            return unchanged

        def see(name: str, activation: Tensor) -> Tensor:
            for acting in acting_here:
                activation = acting.act(activation, moment, name)
            return activation

        return see

    def moment(self) -> Moment:
        """Step, learning rate and surroundings of the next update."""
        step, rate, clock = self.step + 1, self.plan.rate(self.step), None
        if self.capture is not None and self.capture.is_on:
            rate, clock = self.capture.rate, self.capture.clock
        weights, initial = self.parameters.flat, self.initial.flat

        def gradient_at(elsewhere: Tensor) -> Tensor:
            return self.gradients(moment, elsewhere)[1]

        # Named, because gradient_at refers to it.
        own = (step, rate, self.layout, weights, initial, self.noise_seeds)
        moment = Moment(*own, gradient_at, betas=self.betas, clock=clock, masks=self.masks)
        return moment

    @torch.no_grad()
    def update(self, moment: Moment | None = None) -> None:
        """One optimizer update of all runs; ``first_bad_step`` remembers where a loss was not finite.

        With a moment it is made call by call, without one as a replay where that can be done.
        """
        if moment is None and self._replay():
            return
        moment = moment or self.moment()
        is_recording = self.capture is not None and self.capture.is_recording
        self.is_whole = is_recording or not self.remembers_before_gradients
        weights, decay_mode = self.parameters.flat, self.optimizer.facts["decay"]
        losses, gradient = self.gradients(moment)
        self.is_whole = is_recording
        for acting in self._at("gradient", moment):
            gradient = acting.act(gradient, moment)
        if decay_mode == "gradient" and _any(self.decay):
            gradient = gradient + self._decayed(weights)
        settings: dict[str, Any] = self.optimizer_settings
        if "betas" in self.optimizer.facts.get("not_settings", ()):
            settings = settings | {"betas": self.betas}
        acting_on_weights = self._at("weights", moment)
        if self.compiled is not None and self._is_plain_adam and not self._at("update", moment):
            before = weights.clone() if acting_on_weights else weights
            decay = self.decay if decay_mode == "decoupled" else 0.0
            self.compiled.adam(weights, gradient, self.memory, moment, decay=decay, **settings)
            self._finish_update(losses, replace(moment, weights=before), acting_on_weights)
            return
        direction = self.optimizer.function(Parameters(self.layout, gradient), self.memory, moment, **settings)
        for acting in self._at("update", moment):
            direction = acting.act(direction, moment)
        if acting_on_weights:
            moment = replace(moment, weights=weights.clone())
        rate = moment.rate if self.rate_scale is None else self.rate_scale * moment.rate
        if decay_mode == "decoupled" and _any(self.decay):
            weights.sub_(self._decayed(weights).mul_(rate))
        weights.add_(direction * rate)  # not in place: a direction may be the optimizer's memory itself
        self._finish_update(losses, moment, acting_on_weights)

    def _finish_update(self, losses: Tensor, moment: Moment, acting_on_weights: list[Any]) -> None:
        weights = self.parameters.flat
        for acting in acting_on_weights:
            weights.copy_(acting.act(weights, moment))
        if self.frozen is not None:
            weights.copy_(torch.where(self.frozen, self.initial.flat, weights))
        self.step = moment.step
        bad = ~losses.isfinite() & (self.first_bad_step == 0)
        self.first_bad_step.add_(bad * (moment.step if moment.clock is None else moment.clock.long()))
        self.is_whole = True

    def _replay(self) -> bool:
        """Whether the next update was made by replaying a recorded one, or on the way to that."""
        if self.capture is None:
            return False
        step = self.step
        at_work = [acting for acting in self.interventions if acting.is_on(step + 1)]
        is_made = is_capturable(self.optimizer, at_work) and self.capture.update(step, at_work, self.moment, self.update)
        self.step = step + is_made
        return is_made

    def has_vanished(self, r: int) -> bool:
        """Whether every entry of run r's last gradient, before any intervention, was zero: training goes on, learning does not."""
        return self.step > self.first_step and not bool(self.gradient.flat[r].any())

    def _decayed(self, weights: Tensor) -> Tensor:
        pull = weights * self.decay
        return pull if self.decay_mask is None else pull.mul_(self.decay_mask)

    # — looking —

    @torch.no_grad()
    def answers(self) -> list[Answers]:
        """What every run answers in every cell: logits in the run's precision, log-softmax and sums in float64."""
        return list(self.look(range(len(self.runs))).answers.values())

    def look(self, asked: Sequence[int]) -> Looked:
        """Answers of the runs that are asked, or of all where they are asked together, and what else a look tells."""
        if self.device != "cpu":
            return self.look_together()
        answers = {r: self._answers_of(r) for r in asked}
        has_vanished = {r: self.has_vanished(r) for r in asked}
        return Looked(answers, has_vanished, self.first_bad_step.tolist())

    def _answers_of(self, r: int) -> Answers:
        run, table, split = self.runs[r], self.tables[r], self.splits[r]
        if self.compiled is not None:
            return self.compiled.answers(table.x, table.y, split.labels, self.loss, self.loss_settings)
        return answers_of(run, table, split, self.parameters.of_run(r), self.forward)

    @torch.no_grad()
    def look_together(self) -> Looked:
        """Answers of all runs, computed on the device and brought to the host in one transfer."""
        if self.questions is None:
            self.questions = Questions(self.tables, self.splits, self.device)
        parts = self.questions.ask(self.forward, self.runs[0], self.parameters, self.loss, self._settings("loss", self.questions.exact))
        *found, is_moving, bad = to_host([*parts, self.gradient.flat.any(1), self.first_bad_step])
        answers = self.questions.apart(*found)
        return Looked(
            dict(enumerate(answers)),
            {r: self.step > self.first_step and not moves for r, moves in enumerate(is_moving.tolist())},
            bad.tolist(),
        )

    def state(self, r: int) -> State:
        """A copy of everything that run r needs to go on."""
        families: Mapping[str, Parameters] = {"parameters": self.parameters, **self.memory}
        arrays = {f"{family}/{name}": v for family, p in families.items() for name, v in arrays_of(p, r).items()}
        return State(self.step, arrays | {k: v for acting in self.interventions for k, v in acting.state(r).items()})


def initial_of(run: Run, layout: Layout) -> Parameters:
    """The initial parameters of a run, (1, P)."""
    return initial_parameters(layout, run.seeds.of("weights"), scale=run.model.initial_scale, dtype=DTYPES[run.training.precision])


def _any(number: Number) -> bool:
    return isinstance(number, Tensor) or number != 0
