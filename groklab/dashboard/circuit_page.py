"""The page of the circuit: spectra, norms, losses with and without the key frequencies, and attention, over the checkpoints."""

from __future__ import annotations

from typing import Any

from groklab.dashboard import circuit_figures as pictures
from groklab.dashboard import theme as look
from groklab.dashboard.address import Address
from groklab.dashboard.catalog import Entry
from groklab.dashboard.circuit import (
    ATTENTION,
    LOSSES,
    attention_at,
    attention_steps,
    course_of,
    is_of_group,
    known_steps,
    losses_of,
    measured_checkpoints,
    tokens_of,
    weights_at,
)  # fmt: skip
from groklab.dashboard.computing import cache_of
from groklab.dashboard.controls import (
    Page,
    Piece,
    Results,
    View,
    choice,
    command,
    downloads,
    empty,
    frames_of,
    graph,
    html,
    notice,
    part,
    player,
    run_picker,
)  # fmt: skip
from groklab.dashboard.network import check_plugins, check_registered, shown_run, steps_of, stored_stamp
from groklab.dashboard.theme import Theme
from groklab.outside.printable import command as shell_command


def layout(results: Results, address: Address) -> Piece:
    """The controls, and places for the panels."""
    entry = shown_run(results.catalog, address, "checkpoints")
    if entry is None:
        return empty("No runs yet", "What a network computes with is taken apart here:", command("groklab train --operation addition"))
    layers = [str(k) for k in range(entry.run.model.layers if entry.run is not None else 1)]
    tokens = tokens_of(entry)
    return [
        html.H1("Circuit", className="visually-hidden"),
        html.Div(
            [
                run_picker(results.catalog.entries(), entry),
                choice("layer", "spectrum of", {"": "output layer", "embedding": "embedding"}, address),
                choice("block", "attention in block", {"" if layer == "0" else layer: layer for layer in layers}, address),
                choice("token", "to token", {"" if number == 0 else token: token for number, token in enumerate(tokens)}, address),
            ],
            className="controls",
        ),
        part("told"),
        player(frames_of(steps_of(entry, "checkpoints"), address)),
        html.Div(
            [
                _card("Spectrum", "spectrum", "power by frequency at this checkpoint"),
                _card("Spectrum over training", "spectra", "power by frequency and step"),
                _card("Loss with and without the key frequencies", "losses", "losses against step", ask="losses"),
                _card("Norms of the matrices", "norms", "norms of the matrices against step"),
            ],
            className="pair",
        ),
        _card("Attention", "attention", "attention of the last token", ask="attention", height=310),
    ]


def _card(title: str, name: str, label: str, *, ask: str = "", height: int = 270) -> Piece:
    head = html.Div([html.H2(title), downloads("circuit", name, csv=name == "spectra", json=name == "spectra")], className="head")
    return html.Div(
        [head, part(name, "told"), part(f"ask-{ask}") if ask else None, graph(name, label=label, height=height)], className="card"
    )


def stamp(results: Results, address: Address) -> str:
    """The run, its checkpoints and measures, how many were looked at, and what is being computed."""
    entry = shown_run(results.catalog, address, "checkpoints")
    if entry is None:
        return "none"
    measured = sum(len(values[0]) for values in losses_of(entry).values())
    return f"{stored_stamp(entry)} {known_steps(entry)} {measured} {len(attention_steps(entry))} {results.computing.stamp(entry.id)}"


def view(results: Results, address: Address, theme: Theme) -> View:
    """All panels at the chosen checkpoint."""
    entry = shown_run(results.catalog, address, "checkpoints")
    if entry is None:
        return View({}, {}, address)
    frames = frames_of(steps_of(entry, "checkpoints"), address)
    blank = look.empty_figure(theme)
    names = ("spectrum", "spectra", "losses", "norms", "attention")
    if frames is None:
        told = notice("This run has no stored checkpoints, so that its network cannot be looked into.", kind="aside")
        return View(dict.fromkeys(names, blank), {"told": told, "ask-losses": "", "ask-attention": "", **dict.fromkeys(names, "")}, address)
    step = frames.steps[frames.shown]
    told: list[Piece] = []
    try:
        check_registered(entry)
    except ValueError as error:
        told.append(notice(str(error), kind="aside"))
    course = course_of(entry, step)
    if course.left:
        told.append(notice(f"{course.left} more checkpoints are being read …", kind="aside"))
    layer = address.one("layer", "output", among=("embedding",))
    weights, group = weights_at(entry, step), _is_of_group(entry)
    spectrum_told, spectrum = pictures.spectrum(weights, layer, group, theme)
    spectra_told, spectra = pictures.spectra(course, layer, step, group, theme)
    losses_told, losses = pictures.losses(entry, step, group, theme)
    attention_told, attention = pictures.attention(entry, step, address, theme)
    parts: dict[str, Piece] = {
        "told": told,
        "step": [html.Span(f"step {step:,}", **{"data-place": str(frames.shown)})],
        "spectrum": spectrum_told, "spectra": spectra_told, "losses": losses_told, "norms": "Frobenius norm of every matrix, the largest named", "attention": attention_told,
        "ask-losses": _ask(results, entry, "losses", LOSSES[group], len(course.steps) + course.left, measured_checkpoints(entry, LOSSES[group])),
        "ask-attention": _ask(results, entry, "attention", (ATTENTION,), 1, int(attention_at(entry, step) is not None)),
    }  # fmt: skip
    graphs = {
        "spectrum": spectrum,
        "spectra": spectra,
        "losses": losses,
        "norms": pictures.norms(course, step, theme),
        "attention": attention,
    }
    return View(graphs, parts, address.with_values(step=None if frames.shown == len(frames.steps) - 1 else step), frames)


def _is_of_group(entry: Entry) -> bool:
    try:
        return is_of_group(entry)
    except ValueError:
        return False


# — what needs the network —


def ask(results: Results, address: Address, wanted: str) -> None:
    """Have other processes take the measures of a panel."""
    entry = shown_run(results.catalog, address, "checkpoints")
    if entry is None:
        return
    check_plugins(entry)
    folder = cache_of(entry).path
    if wanted == "losses":
        results.computing.ask(entry, LOSSES[is_of_group(entry)], folder)
    elif wanted == "attention":
        frames = frames_of(steps_of(entry, "checkpoints"), address)
        if frames is not None:
            results.computing.ask(entry, (ATTENTION,), folder, step=frames.steps[frames.shown])


def _ask(results: Results, entry: Entry, wanted: str, names: tuple[str, ...], of: int, done: int) -> Piece:
    """The button that has a measure taken, how far that is, or why it failed."""
    jobs = [job for job in results.computing.of(entry.id) if job.names == names]
    last = jobs[-1] if jobs else None
    try:
        check_plugins(entry)
    except ValueError as error:
        return notice(str(error), kind="aside")
    if last is not None and last.state in ("waiting", "working"):
        far = f", {done} of {of} checkpoints" if of > 1 else ""
        return html.Div(
            [
                html.Span(
                    [html.Span(className="dot"), f"{'computing' if last.state == 'working' else 'waiting'}{far} …"],
                    className="status running",
                )
            ],
            className="asking",
        )
    if done >= of:
        return ""
    failed = notice(f"It was not computed: {last.message}") if last is not None and last.state == "failed" else None
    what = "at this checkpoint" if of == 1 else f"at {of - done} checkpoint{'s' * (of - done != 1)}"
    button = html.Button(f"Compute {what}", id={"ask": wanted}, type="button", className="ask")
    keep = html.Span(
        [
            " in a process of its own; nothing is written to the results. To keep it with the run: ",
            html.Code(shell_command("groklab", "measure", *names, entry.id)),
        ],
        className="quiet small",
    )
    return html.Div([failed, html.Div([button, keep])], className="asking")


# — data —


def data(results: Results, address: Address) -> dict[str, Any]:
    """Shares and norms at every checkpoint, and the measures that were taken."""
    entry = shown_run(results.catalog, address, "checkpoints")
    if entry is None:
        return {"run": None, "checkpoints": []}
    course = course_of(entry)
    checkpoints = [
        {
            "step": step,
            "shares": {layer: dict(zip(weights.names, share.tolist(), strict=True)) for layer, share in weights.shares.items()},
            "norms": weights.norms,
        }
        for step, weights in zip(course.steps, course.weights, strict=True)
    ]
    measured = {name: {"step": steps.tolist(), "value": values.tolist()} for name, (steps, values) in losses_of(entry).items()}
    return {
        "run": entry.id,
        "checkpoints": checkpoints,
        "unread": course.left,
        "measures": measured,
        "attention_at": sorted(attention_steps(entry)),
    }


def rows(results: Results, address: Address) -> list[dict[str, Any]]:
    """Shares and norms, a row per checkpoint."""
    found: list[dict[str, Any]] = []
    for checkpoint in data(results, address)["checkpoints"]:
        row: dict[str, Any] = {"step": checkpoint["step"]}
        for layer, shares in checkpoint["shares"].items():
            row |= {f"{layer}_{name}": share for name, share in shares.items()}
        found.append(row | {f"norm_{name}": norm for name, norm in checkpoint["norms"].items()})
    return found


PAGE = Page("circuit", "Circuit", layout, view, data, stamp, rows)
