"""Fresh interpreters from a user's script: what of it they import, so that a script without a guard does not start itself again.

A process that is started afresh imports the main module of the one that starts it, to know what that one has defined. A script
that trains many runs on its top level, without ``if __name__ == "__main__":``, would begin to do so again in each. The processes of
groklab need nothing of the script unless it has registered an operation, an intervention … of its own.
"""

from __future__ import annotations

import contextlib
import sys
import types
from collections.abc import Generator
from pathlib import Path

from groklab import registry
from groklab.text.values import shown


def check_script() -> None:
    """ValueError where processes have to import the user's script, and would run the whole of it."""
    main = sys.modules["__main__"]
    path = getattr(main, "__file__", None)
    own = registry.from_scripts()
    if not own or path is None or getattr(main, "__spec__", None) is not None:
        return
    with contextlib.suppress(OSError):
        if "__name__" not in Path(path).read_text(encoding="utf-8", errors="replace"):
            raise ValueError(
                f'workers: got several processes and {own[0].kind} {shown(own[0].name)} of a script; expected `if __name__ == "__main__":` in '
                f"{Path(path).name} around what trains, as every process imports it. Or move the function to a file of its own and name it "
                "with plugins=[…], or train with workers=1."
            )


@contextlib.contextmanager
def without_script() -> Generator[None]:
    """Within it, a process that is started does not import the main module, unless that has registered something."""
    main = sys.modules["__main__"]
    if not registry.from_scripts():
        sys.modules["__main__"] = types.ModuleType("__main__")  # multiprocessing looks here for what the process has to import
    try:
        yield
    finally:
        sys.modules["__main__"] = main
