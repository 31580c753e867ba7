"""The run from which the flags of a command depart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from groklab.arguments.parsing import value_of
from groklab.config.checks import RunError, type_problems
from groklab.config.presets import preset_named
from groklab.config.run import Run
from groklab.config.table_file import as_stored
from groklab.outside.files import parsed_json, read_regular
from groklab.results.files import JSON_LIMIT
from groklab.results.plugins import Trust
from groklab.results.store import RunFolder
from groklab.text.values import shown


def starting_run(words: Sequence[str], trust_of: Callable[[bool], Trust]) -> Run:
    """The run from which the flags depart: a preset's, a stored run's, or the default.

    ``trust_of`` says whether plugins that lie beside a stored run may be executed, given whether the flags say so.
    """
    presets, configs = value_of("--preset", words)[-1:], value_of("--config", words)[-1:]
    if presets and configs:
        raise ValueError("--preset and --config: got both; expected one of them. Leave one out.")
    if presets:
        return preset_named(presets[0])
    return run_in(Path(configs[0]), trust_of("--trust-plugins" in words)) if configs else Run()


def run_in(path: Path, trust_plugins: Trust = False) -> Run:
    """The run that a run.json describes: one of a results folder, or just the tree of a run.

    The plugins that lie beside it are executed only with ``trust_plugins``; UntrustedError where the run names some that are not loaded.
    """
    file = path / "run.json" if path.is_dir() else path
    try:
        content = parsed_json(read_regular(file, JSON_LIMIT))
    except OSError as error:
        raise ValueError(f"--config: got {shown(str(path))}; expected a run.json ({error.strerror}).") from None
    except ValueError as error:
        raise ValueError(f"--config: got {shown(str(path))}; expected a run.json; it is not JSON ({error}).") from None
    if isinstance(content, dict) and "format" in content:
        if file.name == "run.json":
            return RunFolder(file.parent).run(trust_plugins)
        content = content.get("run")
        content = as_stored(content) if isinstance(content, dict) else content
    if not isinstance(content, dict):
        raise ValueError(f"--config: got {shown(str(path))}; expected a run.json; it holds no run.")
    run = Run.from_dict(content)
    wrong = type_problems(run)
    if wrong:
        raise RunError(wrong)
    return run
