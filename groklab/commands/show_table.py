"""`groklab show --table`: many runs as one table, a row each or a row for every setting, in a terminal, as JSON or into a file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table as Screen

from groklab.analysis.distinctions import alongside, differing, distinguishing
from groklab.analysis.selection import check_columns, select, value_in, written_in
from groklab.analysis.survival import LEVEL, check_share
from groklab.analysis.tables import problems_of, runs_table
from groklab.arguments.reading import ShowArguments
from groklab.display.tables import (
    Columns,
    Row,
    between,
    decimal,
    ends,
    factor,
    interval_head,
    number,
    open_ends_note,
    print_runs,
    print_screen,
    runs_screen,
    screen_of,
    setting_columns,
    settings_notes,
    settings_screen,
    times,
    with_thresholds,
)
from groklab.outside.printable import printable
from groklab.outside.streams import say, write_json
from groklab.results.finding import find
from groklab.results.tables import write_table
from groklab.stored.run import stored_runs
from groklab.text.values import LONGEST, shown

if TYPE_CHECKING:
    import polars

TABLE_FLAGS = ("filter", "by", "statistic", "compare", "strata", "quantity", "level")
"""Flags of `show` that are about the table."""


@dataclass(frozen=True)
class Shown:
    """A table as it is written to files, and how it looks to people."""

    what: str
    """runs | settings | comparisons: its name in JSON."""
    table: polars.DataFrame
    screen: Screen
    notes: Sequence[str] = ()
    """Sentences below it."""


def show_table(asked: ShowArguments) -> int:
    """Print or write the table that the flags ask for; ValueError where they contradict each other."""
    _check_flags(asked)
    stored = [find(asked.where.runs, text) for text in asked.which] or stored_runs(asked.where.runs)
    runs = select(runs_table(stored), asked.filter)
    problems = problems_of(stored, runs)
    shown = _shown(asked, runs, problems)
    if asked.output is not None:
        write_table(shown.table, asked.output)
    if asked.where.json:
        write_json({shown.what: shown.table.to_dicts()} | ({"problems": problems} if problems else {}))
    elif asked.output is not None:
        say(printable(asked.output))
    elif runs.is_empty():
        print_runs(runs, *([f"none of {len(stored):,} runs satisfies {' and '.join(asked.filter)}."] if stored else []))
    else:
        print_screen(shown.screen, shown.notes)
    return 0


def check_table_flags(asked: ShowArguments) -> None:
    """ValueError for flags of the table where none is asked for."""
    for flag in TABLE_FLAGS:
        given = getattr(asked, flag)
        if given not in (None, ()):
            told = " ".join(given) if isinstance(given, tuple) else str(given)
            told = printable(told) if len(told) <= LONGEST else shown(told)
            raise ValueError(f"--{flag}: got {told} without --table; expected them together. It is about many runs as one table.")


def _check_flags(asked: ShowArguments) -> None:
    if asked.strata and asked.compare is None:
        raise ValueError(
            f"--strata: got {' '.join(asked.strata)} without --compare; expected --compare FIELD A B with it, whose tests have strata. "
            "Use --by for a row each."
        )
    if asked.compare is not None:
        for flag, given in (("--statistic", asked.statistic), ("--level", asked.level)):
            if given is not None:
                raise ValueError(
                    f"{flag}: got {given} with --compare; expected one of them. A log-rank test has a p value and no interval."
                )
    elif not asked.by and asked.statistic is None:
        for flag, given, others in (
            ("--quantity", asked.quantity, ", --statistic or --compare"),
            ("--level", asked.level, " or --statistic"),
        ):
            if given is not None:
                raise ValueError(
                    f"{flag}: got {given} without --by{others}; expected one of them with it: rows of runs do not depend on it."
                )
    if asked.statistic == "efficiency" and asked.quantity not in (None, "generalized_at"):
        raise ValueError(f"--quantity: got {asked.quantity} with --statistic efficiency; expected none: it is about which runs generalize.")
    if asked.level is not None:
        check_share("--level", asked.level)


def _shown(asked: ShowArguments, runs: polars.DataFrame, problems: Mapping[str, str]) -> Shown:
    by = [name.replace("-", "_") for name in asked.by]
    check_columns("--by", by, runs)
    if asked.compare is None and asked.statistic is None and not by:
        return Shown("runs", runs, runs_screen(runs, problems))
    kept, notes = _readable(runs)
    if asked.compare is not None:
        return _comparisons(asked, _in_order(kept, by), alongside(kept, by), notes)
    statistic = asked.statistic or "summary"
    over = [] if statistic == "summary" else ["train_fraction"]
    if set(by) & set(over):
        raise ValueError(
            f"--by: got {over[0]} with --statistic {statistic}; expected other fields: it is over the {over[0]}s of a setting."
        )
    by = [name for name in alongside(kept, by or [name for name in distinguishing(kept) if name not in over]) if name not in over]
    notes += _pooled_note(kept, [*by, *over], "--by")
    return _STATISTICS[statistic](asked, _in_order(kept, by), by, notes)


def _readable(runs: polars.DataFrame) -> tuple[polars.DataFrame, list[str]]:
    """The runs that can be read, and a note on those that cannot: they belong to no setting."""
    is_known = ~runs["status"].is_in(["damaged", "unreadable"])
    unknown = runs.height - int(is_known.sum())
    note = f"left out: {unknown} run{'s' * (unknown > 1)} that cannot be read; `groklab show --table --filter status=damaged` names them."
    return runs.filter(is_known), [note] if unknown else []


def _in_order(runs: polars.DataFrame, by: Sequence[str]) -> polars.DataFrame:
    """Settings in the order of their values; ids, whose hashes are in none, decide nothing."""
    return runs.sort(by, maintain_order=True) if by else runs


def _pooled_note(runs: polars.DataFrame, apart: Sequence[str], flag: str) -> list[str]:
    fields = differing(runs, within=list(dict.fromkeys(apart)))
    return [f"Runs of one row differ in {', '.join(fields)}: {flag} tells them apart, --filter leaves some out."] if fields else []


# — a row for every setting —


def _summary(asked: ShowArguments, runs: polars.DataFrame, by: list[str], notes: list[str]) -> Shown:
    from groklab.analysis.statistics import QUANTITIES, summarize

    level = asked.level or LEVEL
    table = summarize(runs, by, level=level)
    if asked.quantity is not None:
        others = tuple(f"{other}_" for other in QUANTITIES if other != asked.quantity)
        table = table.select(name for name in table.columns if not name.startswith(others))
    rows = table.to_dicts()
    screen = settings_screen(with_thresholds(rows, runs), asked.quantity, level=level)
    return Shown("settings", table, screen, [*settings_notes(rows, asked.quantity), *notes])


def _efficiency(asked: ShowArguments, runs: polars.DataFrame, by: list[str], notes: list[str]) -> Shown:
    from groklab.analysis.efficiency import efficiencies, still_going

    level = asked.level or LEVEL
    table = efficiencies(runs, by, level=level)
    rows = table.to_dicts()
    columns: Columns = {
        **setting_columns(by),
        "runs": lambda row: number(row["runs"]),
        "seeds": lambda row: number(row["seeds"]),
        "fractions tried": lambda row: "–" if row["smallest"] is None else f"{row['fractions']}, {row['smallest']:g} to {row['largest']:g}",
        "needed": lambda row: decimal(row["fraction"]) if row["fraction"] is not None else between(row["above"], row["up_to"], decimal),
        "bracket": lambda row: between(row["above"], row["up_to"], decimal),
        interval_head(level): lambda row: between(row["lower"], row["upper"], decimal),
    }
    told = ["needed: the train fraction from which on half of the seeds generalize in time; bracket: the fractions tried around it."]
    if any(row["smallest"] is not None and None in (row["above"], row["up_to"], row["lower"], row["upper"]) for row in rows):
        told.append("up to, over: it lies below the smallest or above the largest fraction tried, or too few seeds tell.")
    if going := int(still_going(runs).sum()):
        told.append(f"Left out as they have neither ended nor generalized: {number(going)} of these runs.")
    unknown = [row for row in rows if row["smallest"] is None]
    return Shown("settings", table, screen_of(columns, rows, left=by), [*told, *_whys(unknown, by), *notes])


def _law(asked: ShowArguments, runs: polars.DataFrame, by: list[str], notes: list[str]) -> Shown:
    from groklab.analysis.statistics import laws

    level, quantity = asked.level or LEVEL, asked.quantity or "generalized_at"
    table = laws(runs, by, quantity=quantity, level=level)
    rows = table.to_dicts()
    columns: Columns = {
        **setting_columns(by),
        "runs": lambda row: number(row["runs"]) if row["reached"] in (None, row["runs"]) else f"{row['reached']} of {row['runs']}",
        "fractions": lambda row: number(row["fractions"]),
        "rate": lambda row: decimal(row["exponential_rate"]),
        interval_head(level): lambda row: ends(row, "exponential_rate", decimal),
        "1 % less": lambda row: factor(row["factor"]),
        f"{interval_head(level)} ": lambda row: ends(row, "factor", factor),
        "exponent": lambda row: decimal(row["power_rate"]),
        "AIC difference": lambda row: decimal(row["aic_difference"]),
    }
    told = [
        f"{quantity.replace('_', ' ')} against train fraction f: exponential law A·exp(−rate·f), power law A·f^(−exponent).",
        "1 % less: by what the exponential law multiplies the median for one percent of the table less.",
        "AIC difference: power − exponential. Above 0 the exponential law describes better, by less than 4 hardly.",
    ]
    fitted = [row for row in rows if row["why"] is None]
    told += open_ends_note((row["exponential_rate_lower"], row["exponential_rate_upper"]) for row in fitted)
    whys = _whys([row for row in rows if row["why"] is not None], by)
    return Shown("settings", table, screen_of(columns, rows, left=by), [*told, *whys, *notes])


def _whys(rows: Sequence[Row], by: Sequence[str]) -> list[str]:
    """Why there are no numbers, once for all settings with the same reason."""
    settings: dict[str, list[str]] = {}
    for row in rows:
        settings.setdefault(row["why"], []).append(" ".join(written_in(name, row[name]) for name in by) or "all runs")
    return [f"{', '.join(names)}: {why}" for why, names in settings.items()]


_STATISTICS: dict[str, Callable[[ShowArguments, polars.DataFrame, list[str], list[str]], Shown]] = {
    "summary": _summary,
    "efficiency": _efficiency,
    "law": _law,
}


# — a test for every setting —


def _comparisons(asked: ShowArguments, runs: polars.DataFrame, by: list[str], notes: list[str]) -> Shown:
    from groklab.analysis.statistics import compare

    assert asked.compare is not None
    field, strata = asked.compare[0].replace("-", "_"), [name.replace("-", "_") for name in asked.strata]
    check_columns("--compare", [field], runs)
    check_columns("--strata", strata, runs)
    for flag, names in (("--by", by), ("--strata", strata)):
        if field in names:
            raise ValueError(f"{flag}: got {field}, which is compared; expected other fields. Its values have nothing within to compare.")
    first, second = (value_in("--compare", runs, field, text) for text in asked.compare[1:])
    if first == second:
        raise ValueError(f"--compare: got {field} {written_in(field, first)} twice; expected two values.")
    quantity = asked.quantity or "generalized_at"
    table = compare(runs, field, first, second, quantity=quantity, by=by, strata=strata)
    rows, (one, other) = table.to_dicts(), (written_in(field, value) for value in (first, second))
    unit = times if quantity == "delay" else number

    def side(row: Row, place: str) -> str:
        return f"{unit(row[f'median_{place}'])} ({row[f'reached_{place}']} of {row[f'runs_{place}']})"

    columns: Columns = {
        **setting_columns(by),
        one: lambda row: side(row, "first"),
        other: lambda row: side(row, "second"),
        "z": lambda row: "–" if row["z"] is None else f"{row['z']:.2f}",
        "p": lambda row: decimal(row["p_value"]),
        "method": lambda row: "–" if row["method"] is None else row["method"].replace("_", " "),
        "permutations": lambda row: number(row["permutations"] or None),
    }
    if any(row["also_differs"] for row in rows):
        columns["also differs"] = lambda row: row["also_differs"] or "–"
    told = [
        f"{quantity.replace('_', ' ')}, {field} {one} against {other}: medians (runs that got there) and log-rank tests.",
        f"z above 0: {one} is sooner. p: chance, two-sided, of a difference as large if there is none.",
    ]
    if strata:
        told.append(f"Runs are compared within each value of {', '.join(strata)} only.")
    if any(row["p_value"] is None for row in rows):
        told.append("– for p: there are no runs of both to compare.")
    told += _pooled_note(runs.filter(runs[field].is_in([first, second])), [*by, *strata, field], "--strata or --by")
    return Shown("comparisons", table, screen_of(columns, rows, left=(*by, "method", "also differs")), [*told, *notes])
