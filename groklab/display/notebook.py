"""What runs and sweeps look like in a notebook: while they are trained, and as the value of a cell.

Everything is HTML with its own curves, without scripts, so that it also shows in a notebook that was stored and is opened elsewhere.
Colors are those of the text and of train and validation, on light and on dark pages. Whatever may come from a file is escaped.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from groklab.analysis.grokking import first_reaching, told
from groklab.config.run import Run
from groklab.display.tables import Columns, runs_columns, settings_columns, settings_notes, with_thresholds
from groklab.laboratory.interruption import stop_requests
from groklab.laboratory.progress import Interrupted, Progress
from groklab.text.numbers import duration, given, percent, steps_per_second, time_left
from groklab.workers.tally import Tally

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from groklab.stored.run import StoredRun
    from groklab.workers.sweeps import StoredSweep

TRAIN, VALIDATION = "#D55E00", "#0072B2"
"""As in figures/style.py, which would have matplotlib imported for them."""
PAUSE = 0.25
"""Seconds between two pictures of a training."""
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 420, 130, 40, 18, 6
"""Of the curves, with their margins, in pixels."""
_DOTS_PER_INCH = 100
_ROWS_SHOWN = 20
"""Runs or settings of a sweep that are listed."""

Rows = Sequence[Mapping[str, Any]]


def in_notebook() -> bool:
    """Whether this is a Jupyter kernel, whose cells show HTML."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def show_figures() -> None:
    """Have a figure that is the value of a cell shown as a picture, where nobody has said how."""
    if not in_notebook():
        return
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    formatter = shell.display_formatter.formatters["image/png"]
    if "Figure" not in {kind.__name__ for kind in formatter.type_printers} | {name for _, name in formatter.deferred_printers}:
        formatter.for_type_by_name("matplotlib.figure", "Figure", _picture_of)


def _picture_of(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=_DOTS_PER_INCH)
    return content.getvalue()


# — as the value of a cell —


def run_html(run: StoredRun) -> str:
    """A stored run: what happened, its curves, and what differs from the default recipe."""
    rows, result = run.rows, run.summary
    default = Run().flat()
    changed = [f"{name} {_text(value)}" for name, value in run.run.flat().items() if value != default[name]]
    message = str(run.folder.description().get("message", ""))
    lines = [
        f"{run.status}{': ' + message if message else ''}; {told(result, threshold=run.run.budget.threshold)}",
        curves_svg(rows, run.run.budget.threshold),
    ]
    lines.append(_accuracies(rows[-1] if rows else {}, run.run.budget.threshold))
    return _panel(run.id, [escape(lines[0]), *lines[1:]], [", ".join(changed) or "the default recipe, power_default", str(run.folder.path)])


def sweep_html(sweep: StoredSweep) -> str:
    """A sweep: how many runs came to what, and a row for every setting."""
    settings = with_thresholds(sweep.summary().to_dicts(), sweep.table) if len(sweep) else []
    columns, notes = settings_columns(settings), settings_notes(settings)
    failed = [f"failed: {name}: {why}" for name, why in sweep.failed.items()]
    return _panel(repr(sweep).strip("<>"), [_table(columns, settings)] if settings else [], [*failed, *notes])


def _panel(title: str, parts: Iterable[str], quiet: Iterable[str]) -> str:
    """Parts are HTML, title and quiet lines are text."""
    below = "".join(f'<div style="opacity:.7;font-size:smaller">{escape(line)}</div>' for line in quiet)
    inside = "".join(f'<div style="margin:.25em 0">{part}</div>' for part in parts)
    head = f'<div style="font-weight:600">{escape(title)}</div>' if title else ""
    return f'<div style="line-height:1.4">{head}{inside}{below}</div>'


def _table(columns: Columns, rows: Sequence[dict[str, Any]]) -> str:
    cell = "padding:1px 10px 1px 0;text-align:right;border:none"
    head = "".join(f'<th style="{cell}">{escape(name.strip())}</th>' for name in columns)
    body = ["".join(f'<td style="{cell}">{escape(told_of(row))}</td>' for told_of in columns.values()) for row in rows[:_ROWS_SHOWN]]
    more = f'<div style="opacity:.7">and {len(rows) - _ROWS_SHOWN:,} more</div>' if len(rows) > _ROWS_SHOWN else ""
    return f'<table style="border-collapse:collapse"><tr>{head}</tr>{"".join(f"<tr>{row}</tr>" for row in body)}</table>{more}'


def _accuracies(row: Mapping[str, Any], threshold: float) -> str:
    def side(name: str, color: str) -> str:
        loss = row.get(f"{name}_loss")
        words = f"{name} {percent(row.get(f'{name}_accuracy'), threshold=threshold)}" + ("" if loss is None else f", loss {loss:.3g}")
        return f'<span style="color:{color};margin-right:1.5em">{words}</span>'

    return side("train", TRAIN) + side("validation", VALIDATION)


def curves_svg(rows: Rows, threshold: float) -> str:
    """Accuracies against step + 1 on a logarithmic axis, and where each reached the threshold."""
    rows = [row for row in rows if not row.get("extra")]
    decades = max(1.0, math.log10(rows[-1]["step"] + 1)) if rows else 1.0
    inner, high = _WIDTH - _LEFT - 8, _HEIGHT - _BOTTOM - _TOP

    def place(step: float, accuracy: float) -> tuple[float, float]:
        return _LEFT + inner * math.log10(step + 1) / decades, _TOP + high * (1 - accuracy)

    parts: list[str] = []
    for accuracy in (0.0, 0.5, 1.0):
        _, y = place(0, accuracy)
        parts.append(f'<line x1="{_LEFT}" x2="{_WIDTH - 8}" y1="{y:.1f}" y2="{y:.1f}" stroke="currentColor" stroke-opacity=".2"/>')
        parts.append(_label(_LEFT - 5, y + 3.5, given(accuracy), "end"))
    for decade in range(int(decades) + 1):
        x, _ = place(10**decade - 1, 0)
        parts.append(_label(x, _HEIGHT - 5, f"{10**decade:,}", "middle"))
    for name, color in (("train", TRAIN), ("validation", VALIDATION)):
        points = [place(row["step"], row[f"{name}_accuracy"]) for row in rows if row.get(f"{name}_accuracy") is not None]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="1.8" stroke-linejoin="round"/>')
        reached = first_reaching(rows, f"{name}_accuracy", threshold)
        if reached is not None:
            x, y = place(reached, threshold)
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{color}"><title>step {reached:,}</title></circle>')
    words = "Accuracy on train and validation cells against step + 1, logarithmic"
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{words}">{"".join(parts)}</svg>'


def _label(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="10" text-anchor="{anchor}" fill="currentColor" fill-opacity=".8">{text}</text>'


def _text(value: Any) -> str:
    return " + ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)


# — while it is trained —


class _Place:
    """A place below the cell whose content changes: a widget while something runs where ipywidgets is installed, HTML in the end."""

    def __init__(self) -> None:
        from IPython.display import HTML, display

        self.html: Any = HTML
        self.widget = _widget()
        # The widget's text is sent by itself; without one the whole output is replaced.
        self.handle: Any = display(self.widget if self.widget is not None else HTML(""), display_id=True)

    def show(self, html: str) -> None:
        """Show it for now."""
        if self.widget is not None:
            self.widget.value = html
        elif self.handle is not None:
            self.handle.update(self.html(html))

    def leave(self, html: str) -> None:
        """Show it for good, so that it is stored with the notebook."""
        if self.handle is not None:
            self.handle.update(self.html(html))
        if self.widget is not None:
            self.widget.close()


def _widget() -> Any:
    with contextlib.suppress(ImportError):
        from ipywidgets import HTML  # pyright: ignore[reportMissingModuleSource]

        return HTML()
    return None


class _Live:
    """Something that is trained, shown below the cell; the notebook's stop button stops it after the current step, with its state saved."""

    def __init__(self, should_stop: Callable[[], bool] | None = None) -> None:
        self.place = _Place()
        self.began = self.drawn = time.monotonic()
        self.requests = stop_requests(should_stop)

    def __enter__(self) -> Any:
        self.should_stop = self.requests.__enter__()
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        self.requests.__exit__(kind, error, trace)
        self.place.leave(self.last_words(error))

    def is_due(self) -> bool:
        """Whether it is time for a picture."""
        now = time.monotonic()
        if now - self.drawn < PAUSE:
            return False
        self.drawn = now
        return True

    def last_words(self, error: BaseException | None) -> str:
        """What stays below the cell."""
        raise NotImplementedError


class LiveRun(_Live):
    """One run: how far it is, its curves so far, how fast it goes."""

    def __init__(self, run: Run, should_stop: Callable[[], bool] | None = None) -> None:
        self.run = run
        self.rows: list[Mapping[str, Any]] = []
        self.notes: list[str] = []
        self.newest: Progress | None = None
        super().__init__(should_stop)

    def begin(self, rows: list[dict[str, Any]], segment: Mapping[str, Any]) -> None:
        """Start from the evaluations that are stored."""
        self.rows = list(rows)

    def wait(self, text: str) -> None:
        """Say why nothing happens."""
        self.place.show(_panel(self.run.id, [], [text]))

    def __call__(self, progress: Progress) -> None:
        """Take note of an update or an evaluation."""
        self.newest = progress
        if progress.row is not None:
            self.rows.append(progress.row)
        if progress.warning:
            self.notes.append(progress.warning)
        if self.is_due():
            self.place.show(self._picture(progress))

    def _picture(self, progress: Progress) -> str:
        made = progress.step - progress.began_at
        speed = made / progress.seconds if progress.seconds > 0 and made > 0 else None
        steps = self.run.budget.steps
        words = f"step {progress.step:,} of {steps:,}, {steps_per_second(speed)}"
        left = f", {time_left((steps - progress.step) / speed)}" if speed else ""
        row = self.rows[-1] if self.rows else {}
        parts = [
            _bar(progress.step / steps),
            escape(words + left),
            curves_svg(self.rows, self.run.budget.threshold),
            _accuracies(row, self.run.budget.threshold),
        ]
        return _panel(self.run.id, parts, self.notes)

    def last_words(self, error: BaseException | None) -> str:
        """That it is over, and how it can go on."""
        if self.newest is None and error is None:
            return _panel("", [], ["Stored before; nothing was trained."])
        made = 0 if self.newest is None else self.newest.step - self.newest.began_at
        words = f"{made:,} steps trained in {duration(time.monotonic() - self.began)}."
        if isinstance(error, Interrupted):
            words += f" Stopped after step {error.step:,} and saved: the same cell goes on from there."
        elif error is not None:
            words += f" Ended by {type(error).__name__}."
        return _panel("", [], [words, *self.notes])


class LiveSweep(_Live):
    """Many runs: how many are done, and which are being trained."""

    def __init__(self, should_stop: Callable[[], bool] | None = None) -> None:
        self.tally: Tally | None = None
        super().__init__(should_stop)

    def __call__(self, tally: Tally) -> None:
        """Take note of how far they are."""
        self.tally = tally
        if self.is_due():
            self.place.show(self._picture(tally))

    def _picture(self, tally: Tally) -> str:
        ended = tally.count("complete", "diverged", "failed")
        left = tally.seconds_left
        words = f"{ended:,} of {len(tally.jobs):,} runs done" + (f", {time_left(left)}" if left is not None else "")
        running: list[dict[str, Any]] = [
            {"id": job.run.id, "steps": job.step, "threshold": job.run.budget.threshold, **(job.row or {})}
            for job in tally.jobs
            if job.status == "running"
        ]
        columns = {name: cell for name, cell in runs_columns().items() if name in ("id", "steps", "validation")}
        whole = [{"validation_accuracy": None, **row} for row in running]
        return _panel("sweep", [_bar(ended / max(len(tally.jobs), 1)), escape(words), _table(columns, whole) if whole else ""], [])

    def last_words(self, error: BaseException | None) -> str:
        """That it is over, and how it can go on."""
        if self.tally is None:
            return ""
        ended = self.tally.count("complete", "diverged", "failed")
        words = f"{ended:,} of {len(self.tally.jobs):,} runs done in {duration(time.monotonic() - self.began)}."
        if isinstance(error, KeyboardInterrupt):
            words += " Stopped, every run's state saved: the same cell goes on from there."
        return _panel("", [], [words])


def _bar(share: float) -> str:
    inside = f'<div style="width:{100 * min(1.0, share):.1f}%;height:100%;background:{VALIDATION}"></div>'
    return f'<div style="width:{_WIDTH}px;max-width:100%;height:6px;border-radius:3px;overflow:hidden;background:#8884">{inside}</div>'
