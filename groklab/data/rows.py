"""The rows of a CSV file: its encoding, its separator, and fields without the spaces around them.

Rows come one by one, and a line, a field and the number of rows have bounds, so that no more is held than a table can have.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass

from groklab.data.groups import CELL_LIMIT
from groklab.text.values import shown

NAMED = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "spaces"}
"""Separators of columns, as messages call them."""
LONGEST_ROW = 8_000_000
"""Characters of a row: two thousand names of a thousand characters are a quarter of it."""
_PIECE = 1 << 20
_DECLARED = re.compile(r'"?sep=(?P<separator>\\t|.)"?[;,\t| ]*', re.IGNORECASE)
"""The line by which a file tells a spreadsheet its separator."""
_TOKEN = re.compile(r'"(?:[^"]|"")*"|[^\s"]+|"')
_RULE = frozenset(" \t\r\n|+│┼:─—=-")
"""Characters of a line that is drawn under a header."""


@dataclass(frozen=True)
class Text:
    """A file's text as it was found."""

    content: bytes
    encoding: str
    declared: str | None = None
    """The separator that a line ``sep=`` in front of the header names."""

    @property
    def is_plain(self) -> bool:
        """Whether the first reader could have read it: UTF-8, and no ``sep=``."""
        return self.encoding == "utf-8-sig" and self.declared is None


def plain_text(content: bytes) -> Text:
    """The text of a file in UTF-8; ValueError names the line that is none."""
    _check_not_empty(content)
    if b"\x00" in content:
        _refuse_zero(content)
    return _decodable(Text(content, "utf-8-sig"))


def text_of(content: bytes) -> Text:
    """The text of a file in UTF-8, or in the UTF-16 and UTF-32 of spreadsheets; ValueError where it is in none of them."""
    _check_not_empty(content)
    if content.startswith(b"PK\x03\x04"):
        raise ValueError("a ZIP archive, such as a spreadsheet in its own format; expected text. Save the table as CSV in UTF-8.")
    text = _decodable(Text(content, _encoding(content)))
    first = next(_lines(text), "").strip("\r\n")
    match = _DECLARED.fullmatch(first)
    if match is None:
        return text
    declared = match["separator"].replace("\\t", "\t")
    if declared not in NAMED:
        raise ValueError(f"line 1: the separator {shown(declared)}; expected one of {', '.join(NAMED.values())}.")
    text = Text(content, text.encoding, declared)
    if next(rows_of(text, declared), None) is None:
        raise ValueError("empty below its separator; expected a table.")
    return text


def _check_not_empty(content: bytes) -> None:
    if not content.strip(b" \t\r\n\x0b\x0c"):
        raise ValueError("empty; expected a header with the columns x, y, z and one row for each cell.")


def _encoding(content: bytes) -> str:
    marks = (
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    )
    for mark, name in marks:
        if content.startswith(mark):
            return name
    if b"\x00" not in content:
        return "utf-8-sig"
    # Text in UTF-16 without its mark has a zero beside every letter of a header in ASCII.
    start = content[:4]
    is_zero = [byte == 0 for byte in start]
    if len(start) == 4 and len(content) % 2 == 0 and is_zero in ([False, True, False, True], [True, False, True, False]):
        return "utf-16-be" if is_zero[0] else "utf-16-le"
    _refuse_zero(content)
    raise AssertionError


def _refuse_zero(content: bytes) -> None:
    line = content.count(b"\n", 0, content.index(b"\x00")) + 1
    raise ValueError(f"line {line}: a zero byte; expected text. If it comes from a spreadsheet, save it as CSV in UTF-8.")


def _decodable(text: Text) -> Text:
    """The text, if all of it can be decoded, a piece at a time."""
    if text.encoding == "utf-8-sig" and text.content.isascii():
        return text
    decoder = codecs.getincrementaldecoder(text.encoding)()
    line, length = 1, len(text.content)
    for start in range(0, length, _PIECE):
        pending = len(decoder.getstate()[0])
        try:
            piece = decoder.decode(text.content[start : start + _PIECE], final=start + _PIECE >= length)
        except UnicodeDecodeError as error:
            at = start - pending + error.start
            width = {"utf-8-sig": 1, "utf-32": 4}.get(text.encoding, 2)
            line = 1 + text.content.count(b"\n", 0, at) if width == 1 else line + error.object[: error.start].count(b"\n")
            named = {"utf-8-sig": "UTF-8", "utf-32": "UTF-32"}.get(text.encoding, "UTF-16")
            raise ValueError(f"line {line}, byte {at}: not {named}. Save the file as CSV in UTF-8.") from None
        if text.encoding != "utf-8-sig" and "\x00" in piece:
            raise ValueError(
                f"line {line + piece[: piece.index(chr(0))].count(chr(10))}: a zero character; expected text. Save it as CSV in UTF-8."
            )
        line += piece.count("\n")
    return text


def _lines(text: Text) -> Iterator[str]:
    file = io.TextIOWrapper(io.BytesIO(text.content), encoding=text.encoding, newline="")
    number = 0
    while line := file.readline(LONGEST_ROW + 1):
        number += 1
        if len(line) > LONGEST_ROW:
            raise ValueError(f"line {number}: more than {LONGEST_ROW:,} characters; no row of a table has so many.")
        yield line


class _Lines:
    """Lines as they are handed to the reader of rows, which may join any number of them by quotes: the bound is on all of a row."""

    def __init__(self, text: Text) -> None:
        self._lines = _lines(text)
        self.passed = 0
        """Lines in front of what is handed on."""
        self.of_row = 0
        if text.declared is not None:
            next(self._lines)
            self.passed = 1

    def __iter__(self) -> Iterator[str]:
        for line in self._lines:
            self.of_row += len(line)
            if self.of_row > LONGEST_ROW:
                raise ValueError(f"a row of more than {LONGEST_ROW:,} characters; no row of a table has so many. Is a quote not closed?")
            yield line


def rows_of(text: Text, separator: str, *, spaced: bool = False) -> Iterator[tuple[int, list[str]]]:
    """The line on which each row ends, and its fields; rows without any text are passed over.

    ``spaced``: quotes may stand behind a separator and spaces. ValueError names the line that is no row, or beyond the bounds.
    """
    lines = _Lines(text)
    source = _of_tokens(lines) if separator == " " else lines
    reader = csv.reader(source, delimiter="\t" if separator == " " else separator, skipinitialspace=spaced, strict=True)
    count = -1  # the header is none of the rows
    number = 0
    try:
        for fields in reader:
            lines.of_row = 0
            number = reader.line_num + lines.passed
            values = [field.strip() for field in fields]
            if not any(values):
                continue
            if separator == "|":
                values = _without_frame(values)
                if values is None:
                    continue
            count += 1
            if count > CELL_LIMIT:
                raise ValueError(f"line {number}: more than {CELL_LIMIT:,} rows; a table has at most {CELL_LIMIT:,} cells.")
            yield number, values
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num + lines.passed}: not a row of a CSV file: {error}.") from None


def has_spaced_quotes(text: Text, separator: str) -> bool:
    """Whether a quote stands behind a separator and spaces, as people write lists."""
    if separator == " ":
        return False
    if text.encoding == "utf-8-sig":
        return re.search(re.escape(separator.encode()) + rb' +"', text.content) is not None
    return re.search(re.escape(separator) + ' +"', text.content.decode(text.encoding)) is not None


def _of_tokens(lines: _Lines) -> Iterator[str]:
    """Lines of names between spaces, as R, Sage and terminals write them, with tabs between; rules below a header are passed over."""
    for line in lines:
        if _RULE.issuperset(line) and re.search(r"[-─—=]{2}", line):
            yield "\n"
        else:
            framed = re.sub(r"^(\s*[^\s|│]+)\s*[|│]", r"\1 ", line)  # the rule beside the first column
            yield "\t".join(_TOKEN.findall(framed)) + "\n"


def _without_frame(values: list[str]) -> list[str] | None:
    """The fields of a line with bars around it as well; None for a rule."""
    if all(re.fullmatch(r":?[-=+]+:?|", value) for value in values) and any(len(value) > 1 for value in values):
        return None
    if len(values) > 2 and not values[0] and not values[-1]:
        return values[1:-1]
    return values
