"""Text in CSV files that spreadsheets open: a cell that begins like a formula gets an apostrophe in front, and loses it when it is read back.

A spreadsheet executes a cell that begins with ``=``, ``+``, ``-`` or ``@``, whoever wrote it, and quotes do not help. With an apostrophe in
front it is text. A text that begins with apostrophes and such a sign gets one more, so that `bare` gives back what was there. Numbers stay.
"""

from __future__ import annotations

import re

FORMULA = "^'*[=+\\-@\t\r＝＋－＠]"
"""How a cell begins that a spreadsheet would execute, or that has been marked so that it is not."""
NUMBER = r"^[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?$"
"""What begins like one and is a plain number."""
_FORMULA, _NUMBER = re.compile(FORMULA), re.compile(NUMBER)


def as_text(cell: str) -> str:
    """A cell that a spreadsheet takes for text.

    >>> as_text("=1+1"), as_text("-5"), as_text("a"), as_text("'@b")
    ("'=1+1", '-5', 'a', "''@b")
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.match(cell) else cell


def bare(cell: str) -> str:
    """A cell as it was before `as_text`.

    >>> bare("'=1+1"), bare("-5"), bare("'a"), bare("''@b")
    ('=1+1', '-5', "'a", "'@b")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
