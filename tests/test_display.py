"""What training looks like: plain lines in a pipe, a panel in a terminal."""

import io
import re

import pytest
from rich.console import Console

from groklab.config.run import Run
from groklab.display.terminal import Display, sparkline
from groklab.laboratory.runs import Progress
from groklab.text.numbers import percent

RUN = Run.of(group="product(cyclic(3), dihedral(4))", train_fraction=0.123456, seed=123456789, steps=1_000_000)


def row(step, accuracy=0.5, loss=1.234e-5):
    return {
        "step": step,
        "train_loss": loss,
        "validation_loss": 10 * loss,
        "train_accuracy": accuracy,
        "validation_accuracy": accuracy / 2,
        "wall_time": 0.1,
    }


def progress(step, *, made=None, run=RUN, began_at=0):
    return Progress(run, step, None if made is None else made, began_at, 0.01 * (step - began_at))


def plain(text):
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def shown(display, *, width):
    """The panel as a terminal of that width draws it, line by line."""
    stream = io.StringIO()
    display.console = Console(file=stream, force_terminal=True, width=width, highlight=False)
    display.console.print(display._panel(progress(display.rows[-1]["step"] + 3 if display.rows else 7)))
    return plain(stream.getvalue()).splitlines()


# — words —


def test_numbers_for_people():
    assert [percent(v) for v in (None, 0.0, 0.9999, 1.0)] == ["–", "0.0 %", "99.99 %", "100.0 %"]
    assert sparkline([0.0, 0.5, 1.0, -1.0, 2.0]) == " ▄█ █"
    assert sparkline([]) == ""


# — a pipe —


def test_a_pipe_gets_plain_lines():
    stream, identity = io.StringIO(), RUN.id
    with Display(stream) as display:
        display.begin([])
        for step in range(50):
            display(progress(step, made=row(step)))
            display(progress(step))
    lines = stream.getvalue().splitlines()
    assert lines[0] == identity
    assert lines[1].startswith("step         0   train  50.0 % loss 1.23e-05   validation  25.0 % loss 0.000123")
    assert lines[-1].startswith("step        49")
    assert len(lines) == 3, "one line a second at most, and the last"
    assert "\x1b" not in stream.getvalue()


def test_a_pipe_that_saw_no_evaluation_gets_nothing():
    stream = io.StringIO()
    with Display(stream) as display:
        display(progress(3))
    assert stream.getvalue() == ""


def test_a_line_says_how_long_it_may_take():
    stream = io.StringIO()
    with Display(stream) as display:
        display(progress(100_000, made=row(100_000)))
    assert "100 steps/s, at most 2 h 30 min left" in stream.getvalue()
    stream = io.StringIO()
    with Display(stream) as display:
        display(progress(10, made=row(10), run=RUN.replace(stop="never", steps=10)))
    assert stream.getvalue().rstrip().endswith("0 s left")
    stream = io.StringIO()
    with Display(stream) as display:
        display(progress(10, made=row(10), began_at=10))
    assert "– steps/s, starting" in stream.getvalue()


# — a terminal —

HISTORIES = {
    "nothing yet": [],
    "the first evaluation": [row(0)],
    "two": [row(0), row(1)],
    "long": [row(s, accuracy=min(1.0, s / 1000)) for s in (0, 1, 3, 10, 30, 100, 300, 1000, 999_999)],
    "large numbers": [row(999_999, loss=1.23e300)],
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("rows", HISTORIES.values(), ids=HISTORIES)
def test_the_panel_fits_its_terminal(rows, width):
    display = Display(io.StringIO(), is_live=True)
    display.begin(rows)
    lines = shown(display, width=width)
    assert len(lines) == 9, "nothing wraps"
    assert max(map(len, lines)) <= width
    assert len(set(map(len, lines))) == 1, "the frame is straight"
    assert RUN.id in lines[0]
    assert "…" not in "".join(lines[1:])
    assert "not yet generalized" in "".join(lines) or "generalized at step" in "".join(lines)


def test_the_panel_says_when_it_memorized():
    display = Display(io.StringIO(), is_live=True)
    display.begin(HISTORIES["long"])
    text = "\n".join(shown(display, width=120))
    assert "memorized at step 1,000" in text
    assert "not yet generalized" in text
    assert "step 1,000,002 of 1,000,000" in text


def test_a_terminal_gets_a_live_panel_that_stays():
    stream = io.StringIO()
    display = Display(stream, is_live=True)
    display.console = Console(file=stream, force_terminal=True, width=100, highlight=False)
    with display:
        display.begin([])
        for step in range(5):
            display(progress(step, made=row(step)))
        display(progress(5))
    text = plain(stream.getvalue())
    assert "step 5 of 1,000,000" in text
    assert text.rstrip().endswith("╯")
    assert stream.getvalue().count("\x1b[?25l") == stream.getvalue().count("\x1b[?25h"), "the cursor is shown again"


def test_rows_stored_before_are_part_of_the_curve():
    display = Display(io.StringIO(), is_live=True)
    display.begin([row(0), row(10), row(12) | {"extra": True}])
    assert [r["step"] for r in display.rows] == [0, 10]
