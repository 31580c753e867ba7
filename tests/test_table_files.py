"""Tables as people have them: from pandas, R, Julia, spreadsheets, databases and algebra systems, and what is wrong with some."""

import codecs
import os
import re
import socket
from pathlib import Path

import first_reader
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groklab.config.fields import Task
from groklab.config.run import Run
from groklab.data.files import FileCells, cells_of, read_cells
from groklab.data.identification import structure_of
from groklab.data.tables import notes_of, table_of

Cells = dict[tuple[str, str], str | None]


def written(cells: FileCells | first_reader.FileCells) -> Cells:
    names = cells.elements
    return {(names[x], names[y]): names[z] if z >= 0 else None for x, y, z in zip(cells.x, cells.y, cells.z, strict=True)}


def sums(names: str = "0 1 2", *, blank: tuple[str, str] | None = None) -> Cells:
    """The cyclic group of three elements under other names."""
    e = names.split()
    return {(e[i], e[j]): None if (e[i], e[j]) == blank else e[(i + j) % 3] for i in range(3) for j in range(3)}


LONG = "x,y,z\n0,0,0\n0,1,1\n0,2,2\n1,0,1\n1,1,2\n1,2,0\n2,0,2\n2,1,0\n2,2,1\n"
HOLE = LONG.replace("2,2,1\n", "2,2,\n")
MATRIX = ",0,1,2\n0,0,1,2\n1,1,2,0\n2,2,0,1\n"
Z3, Z3_HOLE = sums(), sums(blank=("2", "2"))
A3 = sums("a b c")


def floats(column: int, text: str = LONG) -> str:
    """A column as pandas writes it where some of it is blank."""
    head, *rows = text.splitlines()
    values = [row.split(",") for row in rows]
    for row in values:
        row[column] += ".0" if row[column] else ""
    return "\n".join([head, *(",".join(row) for row in values)]) + "\n"


def marked(mark: str) -> str:
    return LONG.replace("2,2,1\n", f"2,2,{mark}\n")


def with_numbers(text: str, first: int, head: str) -> str:
    lines = text.splitlines()
    return "\n".join([f"{head},{lines[0]}", *(f"{first + k},{line}" for k, line in enumerate(lines[1:]))]) + "\n"


def letters(text: str) -> str:
    return text.translate(str.maketrans("012", "abc"))


READ: list[tuple[str, str | bytes, Cells, int, tuple[str, ...]]] = [
    # what it is, content, cells, version of the reader that it needs, words of its notes in their order
    ("plain", LONG, Z3, 1, ()),
    ("a blank", HOLE, Z3_HOLE, 1, ()),
    ("a blank of spaces", marked("   "), Z3_HOLE, 1, ()),
    ("a blank of a no-break space", marked("\u00a0"), Z3_HOLE, 1, ()),
    ("columns in another order", "z,x,y\n" + "".join(f"{z},{x},{y}\n" for (x, y), z in Z3.items()), Z3, 1, ()),
    # numbers in two spellings
    ("pandas: z with decimals", floats(2), Z3, 2, ("'0' and '0.0' are read as one element",)),
    ("pandas: z with decimals and a blank", floats(2, HOLE), Z3_HOLE, 2, ("one element",)),
    ("pandas: x with decimals", floats(0), Z3, 2, ("one element",)),
    ("pandas: y and z with decimals", floats(1, floats(2)), Z3, 2, ("one element",)),
    ("two decimals", floats(2).replace(".0", ".00"), Z3, 2, ("'0' and '0.00'",)),
    ("a point alone", floats(2).replace(".0", "."), Z3, 2, ("'0' and '0.'",)),
    ("both in one column", LONG.replace("2,1,0", "2,1,0.0"), Z3, 2, ("one element",)),
    ("minus zero", floats(2).replace(",0.0", ",-0.0"), Z3, 2, ("one element",)),
    ("decimals everywhere are names as they were", floats(0, floats(1, floats(2))), sums("0.0 1.0 2.0"), 1, ()),
    ("three decimals from %.3f", floats(2).replace(".0", ".000"), Z3, 2, ("one element",)),
    (
        "thousands or decimals",
        "x,y,z\n1,1,1.000\n1,2,2.000\n2,1,2.000\n2,2,1.000\n",
        {("1", "1"): "1.000", ("1", "2"): "2.000", ("2", "1"): "2.000", ("2", "2"): "1.000"},
        1,
        ("decimals or thousands is not certain",),
    ),
    (
        "not all are numbers",
        "x,y,z\n1,1,1.0\n1,e,1\ne,1,1\ne,e,e\n",
        {("1", "1"): "1.0", ("1", "e"): "1", ("e", "1"): "1", ("e", "e"): "e"},
        1,
        ("'1' and '1.0' are two elements, though likely one number: not all names are whole numbers \\('e'\\)",),
    ),
    (
        "one element would contradict itself",
        "x,y,z\n1,1,1\n1,1.0,2\n2,1,2\n2,1.0,1\n1.0,1,1\n",
        {
            **{("1", "1"): "1", ("1", "1.0"): "2", ("1", "2"): None, ("1.0", "1"): "1", ("1.0", "1.0"): None, ("1.0", "2"): None},
            **{("2", "1"): "2", ("2", "1.0"): "1", ("2", "2"): None},
        },
        1,
        ("contradict each other",),
    ),
    ("bits are names", "x,y,z\n00,00,00\n00,01,01\n01,00,01\n01,01,00\n", {("00", "00"): "00", ("00", "01"): "01", ("01", "00"): "01", ("01", "01"): "00"}, 1, ()),
    # blanks
    *[
        (f"a blank as {mark}", marked(mark), Z3_HOLE, 2, ("in 1 answer is read as a blank",))
        for mark in ("NA", "NaN", "nan", "null", "NULL", "None", "N/A", "#N/A", "#NV", "<NA>", "?", "-", "–", ".", "missing", "nil", "\\N", "_")
    ],
    ("two marks", LONG.replace("2,2,1\n", "2,2,?\n").replace("2,1,0\n", "2,1,NA\n"), Z3_HOLE | {("2", "1"): None}, 2, ("'NA', '\\?' in 2 answers",)),
    ("pandas: decimals and nan", floats(2, LONG).replace("2,2,1.0", "2,2,nan"), Z3_HOLE, 2, ("'nan' in 1 answer", "one element")),
    (
        "a mark that is an element",
        "x,y,z\n+,+,+\n+,-,-\n-,+,-\n-,-,+\n",
        {("+", "+"): "+", ("+", "-"): "-", ("-", "+"): "-", ("-", "-"): "+"},
        1,
        ("'-' is read as an element, for it is one in x or y too",),
    ),
    (
        "signs as answers",
        "x,y,z\n0,0,+\n0,1,-\n1,0,+\n1,1,+\n",
        {("0", "0"): "+", ("0", "1"): "-", ("1", "0"): "+", ("1", "1"): "+"},
        1,
        (r"'-' is read as an element, for '\+' is one too",),
    ),
    (
        "a mark in x",
        LONG + "NA,0,1\n",
        {**Z3, **{("NA", y): "1" if y == "0" else None for y in ("0", "1", "2", "NA")}, **{(x, "NA"): None for x in "012"}},
        1,
        ("'NA' in x or y is read as an element",),
    ),
    # matrices
    ("a matrix", MATRIX, Z3, 2, ("it is a matrix: rows are x",)),
    ("a matrix under a ring", MATRIX.replace(",0", "∘,0", 1), Z3, 2, ("matrix",)),
    ("a matrix under *", MATRIX.replace(",0", "*,0", 1), Z3, 2, ("matrix",)),
    ("a matrix under +", MATRIX.replace(",0", "+,0", 1), Z3, 2, ("matrix",)),
    ("a matrix under words", MATRIX.replace(",0", "x \\ y,0", 1), Z3, 2, ("matrix",)),
    ("a matrix under y that is symmetric", MATRIX.replace(",0", "y,0", 1), Z3, 2, ("matrix",)),
    ("a matrix with other orders", ",2,0,1\n1,0,1,2\n0,2,0,1\n2,1,2,0\n", Z3, 2, ("matrix",)),
    ("a matrix with a blank", MATRIX.replace("2,0,1\n", "2,0,\n", 1).replace("2,2,0,1", "2,2,0,"), Z3_HOLE, 2, ("matrix",)),
    ("a matrix with NA", MATRIX.replace("2,2,0,1", "2,2,0,NA"), Z3_HOLE, 2, ("matrix", "'NA' in 1 answer")),
    ("a matrix with an empty last column of all", MATRIX.replace("\n", ",\n"), Z3, 2, ("matrix",)),
    ("a matrix of pandas with a blank", MATRIX.replace("1,1,2,0", "1,1,2,0.0").replace("0,0,1,2", "0,0,1,2.0").replace("2,2,0,1", "2,2,0,"), Z3_HOLE, 2, ("matrix", "one element")),
    ("a matrix with names in two spellings", MATRIX.replace(",0,1,2", ",0.0,1.0,2.0", 1), Z3, 2, ("matrix",)),
    ("a matrix of letters in quotes", '"","a","b","c"\n"a","a","b","c"\n"b","b","c","a"\n"c","c","a","b"\n', A3, 2, ("matrix",)),
    ("a matrix of R without a first cell", letters(MATRIX)[1:], A3, 2, ("matrix",)),
    ("a matrix of the elements x, y, z", letters(MATRIX).translate(str.maketrans("abc", "xyz")), sums("x y z"), 2, ("matrix",)),
    ("the same, without a first cell", letters(MATRIX).translate(str.maketrans("abc", "xyz"))[1:], sums("x y z"), 2, ("matrix",)),
    (
        "a matrix of w, x, y, z, which has columns x, y, z",
        ",w,x,y,z\nw,w,x,y,z\nx,x,w,z,y\ny,y,z,w,x\nz,z,y,x,w\n",
        {(a, b): "wxyz"[i ^ j] for i, a in enumerate("wxyz") for j, b in enumerate("wxyz")},
        2,
        ("matrix",),
    ),
    ("a matrix between spaces", letters("∘ 0 1 2\n0 0 1 2\n1 1 2 0\n2 2 0 1\n"), A3, 2, ("matrix",)),
    ("Sage: cayley_table", "*  a b c\n +------\na| a b c\nb| b c a\nc| c a b\n\n", A3, 2, ("matrix",)),
    ("a terminal", " x∘y │  a  b  c\n─────┼─────────\n   a │  a  b  c\n   b │  b  c  a\n   c │  c  a  b\n", A3, 2, ("matrix",)),
    ("Markdown", "| * | a | b | c |\n|---|---|:-:|---|\n| a | a | b | c |\n| b | b | c | a |\n| c | c | a | b |\n", A3, 2, ("matrix",)),
    # separators and encodings
    ("semicolons", LONG.replace(",", ";"), Z3, 2, ()),
    ("tabs", LONG.replace(",", "\t"), Z3, 2, ()),
    ("bars", LONG.replace(",", "|"), Z3, 2, ()),
    ("spaces", LONG.replace(",", "  "), Z3, 2, ()),
    ("Excel: sep=;", "sep=;\n" + LONG.replace(",", ";"), Z3, 2, ()),
    ("Excel: SEP=, in quotes", '"SEP=,"\r\n' + LONG, Z3, 2, ()),
    ("Excel: sep= a tab", "sep=\t\n" + LONG.replace(",", "\t"), Z3, 2, ()),
    ("Excel in German: decimal commas", "sep=;\r\n" + floats(2).replace(",", ";").replace(".", ",").replace("\n", "\r\n"), Z3, 2, ("'0' and '0,0'",)),
    ("Excel in German: a matrix", MATRIX.replace(",", ";").replace("0;1\n", "0,0;1,0\n"), Z3, 2, ("matrix", "one element")),
    ("Excel: Unicode text", codecs.BOM_UTF16_LE + LONG.replace(",", "\t").replace("\n", "\r\n").encode("utf-16-le"), Z3, 2, ()),
    ("UTF-16, the other way round", codecs.BOM_UTF16_BE + LONG.encode("utf-16-be"), Z3, 2, ()),
    ("UTF-16 without a mark", LONG.encode("utf-16-le"), Z3, 2, ()),
    ("UTF-16 without a mark, the other way round", LONG.encode("utf-16-be"), Z3, 2, ()),
    ("UTF-32", LONG.encode("utf-32"), Z3, 2, ()),
    ("UTF-16 with sep=", ("sep=;\r\n" + letters(LONG).replace(",", ";")).encode("utf-16"), A3, 2, ()),
    ("UTF-8 with a mark", codecs.BOM_UTF8 + LONG.encode(), Z3, 1, ()),
    ("UTF-8 with a mark and sep=", codecs.BOM_UTF8 + b"sep=;\n" + LONG.replace(",", ";").encode(), Z3, 2, ()),
    ("CR", LONG.replace("\n", "\r"), Z3, 1, ()),
    ("CR LF and empty lines", LONG.replace("\n", "\r\n") + "\r\n\r\n,,\r\n", Z3, 1, ()),
    ("no end of the last line", LONG.rstrip(), Z3, 1, ()),
    # headers
    ("upper case", LONG.replace("x,y,z", "X,Y,Z"), Z3, 2, ()),
    ("mixed case between semicolons", LONG.replace("x,y,z", "X,y,Z").replace(",", ";"), Z3, 2, ()),
    ("numpy: savetxt with a header", "# " + LONG, Z3, 2, ()),
    ("a column more", "x,y,z,filled\n" + LONG[6:].replace("\n", ",false\n"), Z3, 1, ("columns that are not read: 'filled'",)),
    ("pandas: an index", with_numbers(LONG, 0, ""), Z3, 1, ("the first column has no name",)),
    ("pandas: an index read and written", with_numbers(LONG, 0, "Unnamed: 0"), Z3, 1, ("not read: 'Unnamed: 0'",)),
    ("R: write.csv", '"","x","y","z"\n' + "".join(f'"{k}","{x}","{y}","{z}"\n' for k, ((x, y), z) in enumerate(Z3.items(), 1)), Z3, 1, ("no name",)),
    ("R: write.table", '"x" "y" "z"\n' + "".join(f'"{k}" "{x}" "{y}" {z or "NA"}\n' for k, ((x, y), z) in enumerate(Z3_HOLE.items(), 1)), Z3_HOLE, 2, ("no name", "'NA'")),
    ("R: write.csv2", '"";"x";"y";"z"\n' + "".join(f'"{k}";{x};{y};{z or "NA"}\n' for k, ((x, y), z) in enumerate(Z3_HOLE.items(), 1)), Z3_HOLE, 2, ("no name", "'NA'")),
    ("a separator at every end", LONG.replace("\n", ",\n"), Z3, 1, ()),
    ("a separator at the ends of rows", LONG.replace("\n", ",\n").replace("z,", "z", 1), Z3, 2, ()),
    ("separators at the end of one row", LONG.replace("2,2,1", "2,2,1,,"), Z3, 2, ()),
    ("a header in the middle", LONG.replace("1,1,2\n", "1,1,2\nx,y,z\n"), Z3, 2, ("the header is repeated once below",)),
    ("quotes behind spaces", '"x", "y", "z"\n' + "".join(f'"{x}", "{y}", "{z}"\n' for (x, y), z in A3.items()), A3, 2, ()),
    # the same row again
    ("one row twice", LONG + "0,1,1\n", Z3, 2, ("1 row repeats a cell given already, and agrees",)),
    ("all rows twice", LONG + LONG[6:], Z3, 2, ("9 rows repeat cells given already, and agree",)),
    ("a row again, without its answer", LONG + "0,1,\n", Z3, 2, ("1 row repeats",)),
    ("a row again, in another spelling", LONG + "0,1.0,1\n", Z3, 2, ("one element", "1 row repeats")),
]  # fmt: skip


@pytest.mark.parametrize(("content", "cells", "reader", "notes"), [row[1:] for row in READ], ids=[row[0] for row in READ])
def test_awkward_files_are_read(content: str | bytes, cells: Cells, reader: int, notes: tuple[str, ...]) -> None:
    found = cells_of(content if isinstance(content, bytes) else content.encode())
    assert written(found) == cells
    assert found.reader == reader
    assert len(found.notes) == len(notes), found.notes
    for note, words in zip(found.notes, notes, strict=True):
        assert re.search(words, note), note
    assert all(note[0] == note[0].lower() or note[0] in "'0123456789" for note in found.notes)
    assert all(note.endswith(".") for note in found.notes)


BOTH = "Expected a header x, y, z and a row for each cell; or a matrix"
REFUSED: list[tuple[str, str | bytes, str]] = [
    ("other columns", "a,b,c\n" + LONG[6:], f"no column x .* and as a matrix it has more rows than its 2 columns. {BOTH}"),
    ("R: a matrix without names", ",V1,V2,V3\n1,0,1,2\n2,1,2,0\n3,2,0,1\n", f"'V1', 'V2', 'V3' are only above and '1', '2', '3' are only to the left. {BOTH}"),
    ("a rectangle", ",0,1,2\n0,0,1,2\n1,1,2,0\n", f"it has 2 rows and 3 columns. {BOTH}"),
    ("a matrix with a name twice", ",a,b,b\na,a,b,b\nb,b,a,a\nb,b,a,a\n", f"the first row names an element twice. {BOTH}"),
    ("a matrix with a row twice", ",a,b,c\na,a,b,b\nb,b,a,a\nb,b,a,a\n", f"the first column names an element twice. {BOTH}"),
    ("a matrix without a name", ",a,,c\na,a,b,b\nb,b,a,a\nc,b,a,a\n", f"the first row has an empty name. {BOTH}"),
    ("a matrix with a short row", ",a,b\na,a,b\nb,b\n", f"line 3 has 2 fields, not 3. {BOTH}"),
    ("numbers alone", "0,1,2\n1,2,0\n2,0,1\n", "first cell, '0', is an answer too. Either it is a title, or the matrix has no names.*expected one reading"),
    ("GAP: MultiplicationTable", "1,2,3\n2,3,1\n3,1,2\n", "first cell, '1', is an answer too.*Leave the first cell empty"),
    ("GAP: as it prints", "[ [ 1, 2, 3 ],\n  [ 2, 3, 1 ],\n  [ 3, 1, 2 ] ]\n", BOTH),
    ("rows that may be y", "y,a,b\na,a,b\nb,a,b\n", r"either its rows are y, or they are x as usual; expected one reading"),
    ("rows that are y above x", "y\\x,a,b\na,a,b\nb,a,b\n", "either its rows are y, or they are x"),
    ("two separators", "x,y,z,;x;y;z\n" + "".join(f"{x},{y},{z},;{x};{y};{x}\n" for (x, y), z in Z3.items()), r"by commas \(3 names of x\) or by semicolons \(3 names of x\); expected one reading. Put a line such as sep=;"),
    ("no separator", "xyz\n000\n", f"no column x .*found 'xyz'. {BOTH}"),
    ("JSON", '[{"x": 0, "y": 0, "z": 0}]', BOTH),
    ("a cell twice", LONG + "0,1,2\n", r"lines 3 and 11: the cell \(0, 1\) is given twice, with z = '1' and z = '2'; expected it once"),
    ("a cell three times", LONG + "0,1,1\n0,1,2\n", r"lines 11 and 12: the cell \(0, 1\) is given twice, with z = '1' and z = '2'"),
    ("a cell twice in two spellings of x", floats(2) + "0,1,2\n", r"the cell \(0, 1\) is given twice"),
    ("decimal commas between commas", "x,y,z\n0,0,0,0,0,0\n", "got 6 fields; expected 3, as in the header. Decimal commas need another separator"),
    ("a row too short", LONG + "3,4\n", "line 11: got 2 fields; expected 3"),
    ("a row too long", LONG + "3,4,5,6\n", "line 11: got 4 fields; expected 3"),
    ("a column twice", "x,y,z,x\n0,0,0,0\n", "column x more than once"),
    ("a column twice in two cases", "X,Y,Z,x\n0,0,0,0\n", "column x more than once"),
    ("blanks alone", "x,y,z\n" + "".join(f"{k},{k},?\n" for k in range(9)), "got 0 cells with a known z; expected at least 4. Note: '\\?' in 9 answers"),
    ("a separator of its own", "sep=:\nx:y:z\n0:0:0\n", "line 1: the separator ':'; expected one of commas, semicolons, tabs, bars, spaces"),
    ("sep= that does not fit", "sep=;\n" + LONG, "line 2: no column x .*found 'x,y,z'"),
    ("sep= alone", "sep=;\n", "empty"),
    ("separators alone", ",,,\n , \n", "empty"),
    ("a header alone", "x;y;z\n", "no rows below the header"),
    ("Latin-1", "x,y,z\né,0,0\n".encode("latin-1"), "line 2, byte 6: not UTF-8. Save the file as CSV in UTF-8"),
    ("UTF-16 cut off", LONG.encode("utf-16")[:-1], "not UTF-16"),
    ("UTF-16 with half a pair", (LONG + "1,").encode("utf-16") + b"\x00\xd8" + "\n".encode("utf-16-le"), "line 11, byte 126: not UTF-16"),
    ("UTF-16 with a zero", (LONG + "3,\x00,1\n").encode("utf-16"), "line 11: a zero character"),
    ("a zero byte", LONG.encode() + b"3,\x00,1\n", "line 11: a zero byte"),
    ("a spreadsheet", b"PK\x03\x04" + bytes(100), "a ZIP archive, such as a spreadsheet in its own format"),
    ("a program", b"\x7fELF\x02\x01\x01\x00\x00", "line 1: a zero byte"),
    ("noise", bytes(range(1, 256)) * 9, "not UTF-8"),
    ("a quote that is not closed", LONG + '"2,2,1\n', "line 11: not a row of a CSV file"),
    ("a field that never ends", LONG + "2,2," + "9" * 200_000, "line 11: not a row of a CSV file: field larger"),
    ("a name that is too long", LONG + "2,3," + "9" * 5000, "line 11: a name of 5,000 characters; expected at most 1,000"),
    ("a line that never ends", LONG + "1," * 5_000_000, "line 11: more than 8,000,000 characters"),
    ("a row of many lines", LONG + '"\n",' * 3_000_000, "a row of more than 8,000,000 characters"),
    ("very many columns", "x,y,z" + ",a" * 1_000_000 + "\n0,0,0\n", "line 2: got 3 fields; expected 1,000,003"),
    ("a matrix too large", "," + ",".join(f"a{k}" for k in range(2001)) + "\na,b\n", "it has 2,001 columns, of at most 2,000"),
    ("too many names", "x,y,z\n" + "".join(f"{k},{k},1\n" for k in range(2001)), "2,001 names of x and 2,001 of y make 4,004,001 cells"),
    ("very many names", "x,y,z\n" + "".join(f"{k},{k},1\n" for k in range(150_000)), "names of x and 100,000 of y in the first 100,000 rows"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_awkward_files_are_explained(content: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){words}") as refused:
        cells_of(content if isinstance(content, bytes) else content.encode())
    assert len(str(refused.value)) < 1500


# — the versions of the reader —

NAME = st.sampled_from(
    [
        "0",
        "1",
        "2",
        "3",
        "3.0",
        "-0",
        "03",
        "a",
        " a ",
        "A",
        "NA",
        "-",
        "+",
        "?",
        "",
        "x",
        "y",
        "z",
        '"a,b"',
        '"say ""hi"""',
        "é",
        "a;b",
        "a\tb",
    ]
)
ROWS = st.lists(st.tuples(NAME, NAME, NAME), max_size=12)
HEADERS = st.sampled_from(["x,y,z", "z,y,x", "x,y,z,note", ",x,y,z", "X,Y,Z", "x;y;z", "a,b,c", ",a,b", ",x,y,z,a"])


def read_by(reader: object, content: bytes) -> object:
    """Elements and cells, or that there are none."""
    try:
        found = reader(content)  # pyright: ignore[reportCallIssue]
    except ValueError:
        return None
    return found.elements, written(found)


@settings(max_examples=400, deadline=None)
@given(HEADERS, ROWS, st.integers(0, 2))
def test_the_first_reader_is_kept_and_what_is_read_alike_needs_no_other(header: str, rows: list[tuple[str, str, str]], more: int) -> None:
    content = "\n".join([header, *(",".join([*row, *["1"] * more]) for row in rows)]).encode()
    first = read_by(first_reader.cells_of, content)
    assert read_by(lambda text: cells_of(text, 1), content) == first
    newest = read_by(cells_of, content)
    assert newest is None or (cells_of(content).reader == 1) == (newest == first)


@settings(max_examples=150, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**32), st.sampled_from(["%d", "a%d", "(%d 1)", "%d.5", '"%d,%d"']), st.booleans())
def test_plain_tables_are_read_as_they_were(n: int, seed: int, form: str, has_blanks: bool) -> None:
    import random

    chance = random.Random(seed)
    names = [form % ((k,) * form.count("%d")) for k in chance.sample(range(100), n)]
    rows = [f"{x},{y},{'' if has_blanks and chance.random() < 0.2 else chance.choice(names)}" for x in names for y in names]
    chance.shuffle(rows)
    content = "\n".join(["x,y,z", *rows]).encode()
    assert read_by(cells_of, content) == read_by(first_reader.cells_of, content)
    assert read_by(cells_of, content) is None or cells_of(content).reader == 1


@settings(max_examples=200, deadline=None)
@given(
    st.text(alphabet='xyzXa01.,"\r\n ;|\t-+#NA', max_size=120),
    st.sampled_from(["utf-8", "utf-16", "utf-32"]),
    st.sampled_from(["", "x,y,z\n", "sep=;\n", ",a,b\n", "x y z\n"]),
)
def test_whatever_a_file_holds_is_read_or_explained(text: str, encoding: str, head: str) -> None:
    explained = ""
    try:
        cells = cells_of((head + text).encode(encoding))
    except ValueError as error:
        explained = str(error)
    if not explained:
        assert (cells.z >= 0).sum() >= 4
        assert len(set(cells.elements)) == len(cells.elements)
    assert len(explained) < 2000


def file_of(folder: Path, content: str | bytes, name: str = "table.csv") -> str:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder / name)


def test_the_id_names_the_reader_only_where_the_reading_changed(tmp_path: Path) -> None:
    plain, hole, matrix = (file_of(tmp_path, text, f"{k}.csv") for k, text in enumerate((LONG, marked("NA"), MATRIX)))
    assert Run.of(file=plain).id == "from_file-f0.50-s0-1440add9"  # as it was before there were readers
    assert Run.of(file=plain, reader=2).id == Run.of(file=plain, reader=1).id == Run.of(file=plain).id
    assert "reader" not in Run.of(file=plain).canonical()
    assert Run.of(file=hole).canonical()["reader"] == Run.of(file=matrix).canonical()["reader"] == 2
    assert Run.of(file=hole, reader=2).id == Run.of(file=hole).id
    assert Run.of(file=hole, reader=1).id == "from_file-f0.50-s0-82d86719"
    assert Run.of(file=hole, reader=1).id != Run.of(file=hole).id
    assert "NA" in table_of(Run.of(file=hole, reader=1).task).elements
    assert "NA" not in table_of(Run.of(file=hole).task).elements


def test_a_reader_is_one_of_those_there_are_and_of_a_file() -> None:
    assert [problem.field for problem in Run.of(file="a.csv", reader=3).problems() if problem.field == "reader"] == ["reader"]
    (problem,) = Run.of(reader=1).problems()
    assert problem.field == "reader"
    assert "no file is read" in str(problem)


STORED = Path(__file__).parent / "stored" / "from_file-f0.60-s0-7b992053"


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """A run of six steps, stored before there were versions of the reader; NA and 0.0 are elements of its table."""
    import shutil

    return Path(shutil.copytree(STORED, tmp_path / "runs" / STORED.name))


def test_a_stored_run_is_read_as_it_was(stored: Path) -> None:
    import groklab as gl
    from groklab.results.store import RunFolder

    run = RunFolder(stored).run()
    assert "reader" not in (stored / "run.json").read_text(encoding="utf-8")
    assert run.task.reader == 1
    assert run.id == stored.name
    assert table_of(run.task).elements == ("0", "0.0", "1", "2", "NA")
    found = gl.load(stored.name, runs=stored.parent)
    assert found.id == stored.name
    assert set(found.answers()["z_name"]) == {"0", "0.0", "1", "2", "NA"}
    # The same file asked for today is another table, and so another run.
    assert Run.of(run, file=str(stored / "table.csv"), reader=None).id != stored.name


@pytest.mark.medium
def test_a_stored_run_goes_on_as_it_was(stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    from groklab.cli import main
    from groklab.results.store import RunFolder

    monkeypatch.chdir(tmp_path)
    assert main(["continue", stored.name, "--steps", "12", "--no-figures"]) == 0
    assert main(["show", stored.name]) == 0
    assert main(["measure", "weight_norm", stored.name]) == 0
    assert main(["train", "--config", str(stored), "--no-figures"]) == 0
    assert main(["export", stored.name, "--to", "safetensors", "--output", "net.safetensors"]) == 0
    assert json.loads(Path("net.safetensors.json").read_text(encoding="utf-8"))["run"]["task"]["reader"] == 1
    assert main(["import", "net.safetensors", "--runs", "imported"]) == 0
    assert [path.name for path in stored.parent.iterdir()] == [stored.name]
    (imported,) = Path("imported").iterdir()
    for folder in (stored, imported):
        assert table_of(RunFolder(folder).run().task).elements == ("0", "0.0", "1", "2", "NA")
    assert RunFolder(stored).reached() == 12


@pytest.mark.medium
def test_a_new_run_keeps_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from groklab.cli import main
    from groklab.results.store import RunFolder

    monkeypatch.chdir(tmp_path)
    names = {}
    for name, text in (("plain", LONG), ("matrix", MATRIX.encode("utf-16"))):
        file = file_of(tmp_path, text, f"{name}.csv")
        flags = ["--file", file, "--layers", "1", "--width", "8", "--heads", "1", "--steps", "4", "--no-figures", "--json"]
        assert main(["train", *flags]) == 0
        told = capsys.readouterr()
        result = json.loads(told.out)
        names[name] = result["id"]
        assert result["notes"] == ([] if name == "plain" else ["it is a matrix: rows are x, columns are y."])
        assert told.err.count("it is a matrix") == (name == "matrix")
    for name, reader in (("plain", 1), ("matrix", 2)):
        folder = RunFolder(Path("runs") / names[name])
        assert json.loads((folder.path / "run.json").read_text(encoding="utf-8"))["run"]["task"]["reader"] == reader
        assert folder.run().id == names[name]
        assert table_of(folder.run().task).elements == ("0", "1", "2")
        assert main(["continue", names[name], "--steps", "6", "--no-figures"]) == 0
        assert folder.reached() == 6


# — what is no file, or too much of one —


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe", "socket", "device", "endless", "loop", "large", "closed", "zero"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, words = tmp_path / kind, "it is a "
    match kind:
        case "nothing":
            words = "no such file"
        case "folder":
            path.mkdir()
        case "pipe":
            os.mkfifo(path)
        case "socket":
            monkeypatch.chdir(tmp_path)
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind(kind)
        case "device" | "endless":
            path.symlink_to("/dev/full" if kind == "device" else "/dev/zero")
        case "loop":
            path.symlink_to(path)
            words = "leads back to itself"
        case "large":
            with open(path, "wb") as file:
                file.truncate(10**12)
            words = "1,000,000,000,000 bytes; at most 400,000,000 are read"
        case "closed":
            path, words = Path("/proc/kmsg"), "file /proc/kmsg"
        case _:
            path, words = Path("a\0b"), "zero byte"
    with pytest.raises(ValueError, match=words):
        read_cells(path)
    (problem,) = [problem for problem in Run.of(file=str(path)).problems() if problem.field == "file"]
    assert len(str(problem)) < 500


def test_names_are_counted_while_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from groklab.data import forms

    monkeypatch.setattr(forms, "MOST_NAMES", 1000)
    monkeypatch.setattr(forms, "PIECE", 600)
    with pytest.raises(ValueError, match="more than 1,000 names in the first 600 rows; expected at most 1,000"):
        cells_of(("x,y,z\n" + "".join(f"a{k},b,c{k}\n" for k in range(5000))).encode())


def test_a_folder_is_no_table_to_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from groklab.cli import main

    monkeypatch.chdir(tmp_path)
    assert main(["complete", "."]) == 2
    assert "file .: it is a folder, not a file" in capsys.readouterr().err


def test_the_table_of_a_file_is_printed_with_its_notes_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import json

    from groklab.cli import main

    n = 23  # the table of the sums of residues as pandas writes it where some are blank
    rows = [f"{x},{y},{(x + y) % n}.0" if (x * y) % 5 != 1 else f"{x},{y}," for x in range(n) for y in range(n)]
    file = file_of(tmp_path, "x,y,z\n" + "\n".join(rows) + "\n")
    assert main(["table", "--file", file]) == 0
    told = capsys.readouterr()
    assert "23 elements" in told.out
    assert told.err.count("are read as one element") == 1
    assert main(["table", "--file", file, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["notes"]) == 1
    assert main(["table", "--file", file, "--reader", "1"]) == 0
    assert "46 elements" in capsys.readouterr().out


def test_notes_are_values(tmp_path: Path) -> None:
    task = Task(operation="from_file", file=file_of(tmp_path, MATRIX))
    assert notes_of(task) == table_of(task).notes == ("it is a matrix: rows are x, columns are y.",)
    assert notes_of(Task()) == ()
    assert notes_of(Task(operation="from_file", file=str(tmp_path / "none.csv"))) == ()
    assert structure_of(table_of(task)).isomorphic_to == "cyclic(3)"
