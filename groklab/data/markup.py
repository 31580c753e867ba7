"""A table as a notebook shows it: its cells, colored by their answers, and what is true of the operation."""

from __future__ import annotations

import base64
import colorsys
import io
from html import escape

import numpy as np
import numpy.typing as npt

from groklab.data.table import Table
from groklab.data.tables import properties
from groklab.outside.printable import printable

WRITTEN = 24
"""Up to so many rows and columns the answers are written; larger tables are a picture, a pixel for each cell."""
PICTURE_SIZE = 291
"""Width and height of that picture on the screen, in pixels: three for each cell of a table of 97 elements."""
_UNKNOWN, _OUTSIDE = (255, 255, 255), (200, 200, 200)


def table_html(table: Table) -> str:
    """The table as HTML; whatever comes from a file is escaped."""
    xs, ys = np.unique(table.x), np.unique(table.y)
    shown = _written(table, xs, ys) if max(len(xs), len(ys)) <= WRITTEN else _pictured(table, xs, ys)
    facts = {name.replace("_", " "): value for name, value in properties(table).items()}
    true = [name for name, value in facts.items() if value]
    false = [name for name, value in facts.items() if value is False]
    words = [f"{table.cells:,} cells, {table.n:,} elements"] + ([", ".join(true)] if true else [])
    words += [f"not {' or '.join(false)}"] if false else []
    unknown = int((table.z < 0).sum())
    words += [f"{unknown:,} cells unknown"] if unknown else []
    head = f'<div style="font-weight:600">{escape(table.symbol)}</div>'
    return f'<div>{head}{shown}<div style="opacity:.7;font-size:smaller">{escape("; ".join(words))}</div></div>'


def _colors(n: int) -> list[tuple[int, int, int]]:
    """A color for each element, once around the circle; light enough for black letters."""
    found = [colorsys.hls_to_rgb(k / n, 0.78, 0.62) for k in range(n)]
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in found]


def _written(table: Table, xs: npt.NDArray[np.int32], ys: npt.NDArray[np.int32]) -> str:
    colors, answers = _colors(table.n), dict(zip(zip(table.x.tolist(), table.y.tolist(), strict=True), table.z.tolist(), strict=True))
    style = "padding:1px 5px;text-align:center;min-width:1.2em;border:none"

    def cell(x: int, y: int) -> str:
        z = answers.get((x, y))
        if z is None:
            return f'<td style="{style}"></td>'
        color = "#%02x%02x%02x" % (colors[z] if z >= 0 else _UNKNOWN)
        return f'<td style="{style};background:{color};color:#222">{escape(printable(table.elements[z])) if z >= 0 else "?"}</td>'

    head = "".join(f'<th style="{style}">{escape(printable(table.elements[y]))}</th>' for y in ys)
    rows = [
        f'<tr><th style="{style}">{escape(printable(table.elements[x]))}</th>' + "".join(cell(x, y) for y in ys.tolist()) + "</tr>"
        for x in xs.tolist()
    ]
    corner = f'<th style="{style};opacity:.6;font-weight:400">x∘y</th>'
    return f'<table style="border-collapse:collapse;margin:.4em 0"><tr>{corner}{head}</tr>{"".join(rows)}</table>'


def _pictured(table: Table, xs: npt.NDArray[np.int32], ys: npt.NDArray[np.int32]) -> str:
    colors = np.array([*_colors(table.n), _UNKNOWN], dtype=np.uint8)  # −1, an unknown answer, takes the last
    pixels = np.full((len(xs), len(ys), 3), _OUTSIDE, dtype=np.uint8)
    pixels[np.searchsorted(xs, table.x), np.searchsorted(ys, table.y)] = colors[table.z]
    source = base64.b64encode(png(pixels)).decode()
    size = f"width:{PICTURE_SIZE}px;height:{PICTURE_SIZE}px;image-rendering:pixelated"
    words = f"{escape(table.symbol)}: rows x, columns y, a color for each answer"
    return f'<img alt="{words}" title="{words}" style="{size};margin:.4em 0;display:block" src="data:image/png;base64,{source}">'


def png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """An image (height, width, RGB) as a PNG file."""
    from PIL import Image  # which only a notebook needs

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()
