"""`groklab export` and `groklab import`: networks out of the results, and into them."""

from __future__ import annotations

from groklab.arguments.exchange import ExportArguments, ImportArguments
from groklab.arguments.parsing import parse
from groklab.commands.plugins import load_plugins
from groklab.laboratory.networks import export_network, import_network
from groklab.outside.streams import say, write_json
from groklab.stored.run import load
from groklab.text.numbers import percent


def export(words: list[str]) -> int:
    """Write the file and say which."""
    load_plugins(words)
    asked = parse(ExportArguments, "export", words)
    written = export_network(load(asked.which, runs=asked.where.runs), asked.output, to=asked.to, checkpoint=asked.checkpoint)
    if asked.where.json:
        write_json(written)
    else:
        say(f"{written['output']}\n{written['description']}")
    return 0


def import_file(words: list[str]) -> int:
    """Store the network of a file as a run, and say what it knows."""
    load_plugins(words)
    asked = parse(ImportArguments, "import", words)
    found = import_network(asked.source, runs=asked.where.runs, step=asked.step, vocabulary=asked.vocabulary, **asked.fields(words))
    facts = found.folder.description()
    if asked.where.json:
        write_json(found.to_dict() | {"imported": facts["imported"], "warnings": facts["warnings"]})
        return 0
    row = found.rows[-1]
    say(f"results: {found.folder.path}")
    train, validation = (percent(row[f"{side}_accuracy"], threshold=found.run.budget.threshold) for side in ("train", "validation"))
    told = f"train accuracy {train}, validation accuracy {validation}"
    say(f"step {row['step']:,}: {told}")
    for warning in facts["warnings"]:
        say(f"note: {warning}")
    return 0
