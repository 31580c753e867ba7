"""The notebooks of the documentation: executed, and stored with what they show.

python -m tools.notebooks            execute all and write them back
"""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
TIMEOUT = 300
"""Seconds for one cell, on a busy machine."""


def executed(path: Path, working: Path) -> Any:
    """A notebook with the outputs of its cells, executed in a folder; CellExecutionError where one fails."""
    notebook = copy.deepcopy(nbformat.read(path, as_version=4))
    client = NotebookClient(notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": str(working)}})
    client.execute()
    notebook.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}  # which holds when it was executed
    return notebook


def main() -> None:
    """Execute all notebooks and write them back."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as working:
            nbformat.write(executed(path, Path(working)), path)
        print(f"{path.name}: {path.stat().st_size / 1000:,.0f} kB")


if __name__ == "__main__":
    main()
