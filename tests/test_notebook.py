"""What notebooks show: rich values, a live picture of a training, and the notebooks of the documentation, executed."""

import io
import re
import signal
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import groklab as gl
from groklab.config.checks import RunError
from groklab.config.run import Run
from groklab.data.markup import png, table_html
from groklab.display import notebook
from groklab.figures import style
from groklab.laboratory import runs as laboratory
from groklab.laboratory.progress import Interrupted, Progress
from groklab.workers.tally import Job, Tally

FIELDS = {"operation": "addition", "modulus": 5, "width": 16, "heads": 2, "layers": 1, "train_fraction": 0.6}
NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return gl.train(**FIELDS, steps=40, stop="never", runs=tmp_path_factory.mktemp("notebook"))


# — values —


def test_a_run_shows_what_happened_its_curves_and_its_settings(run):
    html = run._repr_html_()
    assert run.id in html
    assert "complete; " in html
    assert "modulus 5, train_fraction 0.6, layers 1, width 16" in html
    for side, color in (("train", notebook.TRAIN), ("validation", notebook.VALIDATION)):
        (line,) = re.findall(rf'<polyline points="([^"]+)" fill="none" stroke="{color}"', html)
        assert len(line.split()) == len(run.rows), side
    assert run.plot().axes
    assert run.plot("operation_table", checkpoint=0).axes


def test_the_curve_reaches_the_top_at_the_step_that_is_marked():
    rows = [{"step": step, "train_accuracy": accuracy, "validation_accuracy": 0.0} for step, accuracy in ((0, 0.0), (9, 1.0), (99, 1.0))]
    svg = notebook.curves_svg(rows, 0.99)
    first, middle, last = re.findall(r"([\d.]+),([\d.]+)", svg.split('points="')[1].split('"')[0])
    assert float(middle[0]) - float(first[0]) == pytest.approx(float(last[0]) - float(middle[0]), abs=0.1), "decades are equally wide"
    assert float(first[1]) > float(middle[1]) == float(last[1])
    assert "<title>step 9</title>" in svg
    assert svg.count("<circle") == 1, "what was not reached is not marked"


def test_the_colors_are_those_of_the_figures():
    assert (notebook.TRAIN, notebook.VALIDATION) == (style.TRAIN, style.VALIDATION)


def test_a_table_is_written_out_with_its_properties():
    html = gl.table(operation="addition", modulus=3)._repr_html_()
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", html)
    assert cells == ["0", "1", "2", "1", "2", "0", "2", "0", "1"]
    assert "9 cells, 3 elements; commutative, associative, latin square, group" in html
    assert "not commutative" in gl.table(operation="subtraction", modulus=3)._repr_html_()


def test_a_large_table_is_a_picture_of_its_cells():
    html = table_html(gl.table(operation="division", modulus=97))
    assert "<td" not in html
    assert "data:image/png;base64," in html
    assert len(html) < 60_000
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    file = png(pixels)
    with Image.open(io.BytesIO(file)) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (3, 2))
        assert np.array_equal(np.asarray(picture), pixels)


def test_names_from_a_file_are_escaped(tmp_path):
    attack = "<script>alert(1)</script>"
    (tmp_path / "table.csv").write_text(f"x,y,z\na,a,{attack}\na,{attack},a\n{attack},a,a\na,b,b\n{attack},{attack},\n", encoding="utf-8")
    html = gl.table(file=str(tmp_path / "table.csv"))._repr_html_()
    assert attack not in html
    assert "&lt;script&gt;" in html
    assert ">?</td>" in html
    assert "5 cells unknown" in html


def test_what_is_wrong_with_a_run_is_escaped(run, monkeypatch):
    monkeypatch.setattr(type(run.folder), "description", lambda folder: {"message": "<b>bold</b>", "resolved": {}, "status": "complete"})
    assert "&lt;b&gt;bold" in notebook.run_html(run)


def test_a_table_takes_fields_of_a_task_only():
    with pytest.raises(ValueError, match="got seed; expected fields of a task"):
        gl.table(operation="addition", seed=1)
    with pytest.raises(RunError, match="modulus"):
        gl.table(operation="division", modulus=10)


def test_a_sweep_shows_a_row_for_every_setting(tmp_path):
    sweep = gl.sweep(**{**FIELDS, "train_fraction": [0.5, 0.6]}, seed=[0, 1], steps=20, stop="never", workers=1, runs=tmp_path)
    html = sweep._repr_html_()
    assert "sweep of 4 runs" in html
    assert html.count("<tr>") == 3
    assert re.findall(r"<th[^>]*>([^<]*)</th>", html)[:2] == ["train_fraction", "runs"]
    assert sweep.plot("steps_against").axes


# — live —


class Output:
    """The output of a cell."""

    def __init__(self):
        self.shown = []

    def display(self, value, display_id):
        self.update(value)
        return self

    def update(self, value):
        self.shown.append(value)


@pytest.fixture
def cell(monkeypatch):
    """As in a Jupyter kernel without ipywidgets; what is displayed is kept."""
    pytest.importorskip("IPython")
    output = Output()
    monkeypatch.setattr("groklab.api.in_notebook", lambda: True)
    monkeypatch.setattr("IPython.display.display", output.display)
    monkeypatch.setattr("IPython.display.HTML", str)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(notebook, "PAUSE", 0.0)
    return output


def test_a_training_moves_below_its_cell_and_leaves_a_line(cell, tmp_path):
    run = gl.train(**FIELDS, steps=30, stop="never", runs=tmp_path)
    assert any("step 30 of 30" in html for html in cell.shown)
    assert any("<polyline" in html for html in cell.shown)
    assert re.search("30 steps trained in \\d+ s", cell.shown[-1])
    assert run.steps == 30
    gl.train(**FIELDS, steps=30, stop="never", runs=tmp_path)
    assert "Stored before; nothing was trained." in cell.shown[-1]


@pytest.mark.parametrize("by", ["the button", "a function", "the button beside a function"])
def test_the_stop_button_saves_and_says_how_to_go_on(by, cell, tmp_path, monkeypatch):
    asked, pressed, asks = iter(range(30)), [], notebook.LiveRun.__call__

    def update(self, progress):
        if progress.step == 5 and by != "a function" and not pressed:
            pressed.append(True)
            signal.raise_signal(signal.SIGINT)
        asks(self, progress)

    monkeypatch.setattr(notebook.LiveRun, "__call__", update)
    should_stop = {"the button": None, "a function": lambda: next(asked) >= 5}.get(by, lambda: False)
    with pytest.raises(Interrupted) as stopped:
        gl.train(**FIELDS, steps=30, stop="never", runs=tmp_path, should_stop=should_stop)
    assert stopped.value.step > 0
    assert f"Stopped after step {stopped.value.step} and saved: the same cell goes on from there." in cell.shown[-1]


def test_who_listens_himself_sees_no_picture(cell, tmp_path):
    gl.train(**FIELDS, steps=5, stop="never", runs=tmp_path, on_progress=laboratory.say_nothing)
    assert cell.shown == []


def test_a_sweep_moves_below_its_cell(cell, tmp_path):
    gl.sweep(**FIELDS, seed=[0, 1], steps=20, stop="never", workers=1, runs=tmp_path)
    assert any("of 2 runs done" in html and "addition-5" in html for html in cell.shown)
    assert re.search("2 of 2 runs done in \\d+ s", cell.shown[-1])


def test_a_widget_is_replaced_by_what_is_stored(cell, monkeypatch):
    made = types.SimpleNamespace(value="", closed=False)
    made.close = lambda: setattr(made, "closed", True)
    monkeypatch.setitem(sys.modules, "ipywidgets", types.SimpleNamespace(HTML=lambda: made))
    asked = Run.of(**FIELDS, steps=8)
    with notebook.LiveRun(asked) as live:
        live(
            Progress(
                asked, 4, {"step": 4, "train_accuracy": 1.0, "validation_accuracy": 0.5, "train_loss": 0.1, "validation_loss": 1.0}, 0, 0.1
            )
        )
        assert "step 4 of 8" in made.value
    assert cell.shown == [made, cell.shown[-1]]
    assert "4 steps trained" in cell.shown[-1]
    assert made.closed


def test_runs_being_trained_are_escaped_too(cell):
    job = Job(Run.of(**FIELDS), status="running", step=3)
    live = notebook.LiveSweep()
    assert "<table" in live._picture(Tally([job]))


def test_outside_a_notebook_nothing_is_shown(monkeypatch):
    assert not notebook.in_notebook()
    notebook.show_figures()  # and no figure is registered with anything
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not notebook.in_notebook()


# — the notebooks of the documentation —


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_of_the_documentation_runs(path, tmp_path):
    pytest.importorskip("nbclient", reason="nbclient executes notebooks")
    from tools.notebooks import executed

    made = executed(path, tmp_path)
    outputs = [output for cell in made.cells if cell.cell_type == "code" for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3
    assert any("grokked: memorized at step" in output.get("data", {}).get("text/html", "") for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_with_what_it_shows(path):
    import json

    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    assert sum("image/png" in output.get("data", {}) for cell in cells for output in cell["outputs"]) >= 3
    assert "widget" not in path.read_text(encoding="utf-8"), "a stored notebook shows its curves without a kernel"
    assert path.stat().st_size < 500_000


class Heard:
    """A display of one's own: what it was told, in order."""

    def __init__(self, run, should_stop):
        self.run, self.should_stop, self.told = run, should_stop or (lambda: False), []
        DISPLAYS.append(self)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.told.append("left")

    def begin(self, rows, segment):
        self.told.append(f"from {len(rows)} rows")

    def __call__(self, progress):
        self.told.append(progress.step)

    def wait(self, text):
        self.told.append(text)


DISPLAYS = []


def test_a_display_of_ones_own_is_told_of_a_training_and_of_its_continuation(tmp_path):
    DISPLAYS.clear()
    first = gl.train(**FIELDS, steps=3, stop="never", runs=tmp_path, display=Heard)
    assert DISPLAYS[0].run.id == first.id
    assert DISPLAYS[0].told[0] == "from 0 rows"
    assert DISPLAYS[0].told[-2:] == [3, "left"]
    gl.continued(first.id, runs=tmp_path, steps=5, display=Heard)
    assert DISPLAYS[1].told[0] == f"from {len(first.rows)} rows"
    assert DISPLAYS[1].told[-2:] == [5, "left"]
    listened = []
    gl.train(**FIELDS, steps=6, stop="never", runs=tmp_path, display=Heard, on_progress=listened.append)
    assert listened, "who listens himself"
    assert len(DISPLAYS) == 2, "sees no display"
