"""Tables: elements, order of cells, properties, and CSV files of every kind."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groklab.config.fields import Task
from groklab.config.run import Run
from groklab.data.files import sorted_names
from groklab.data.table import Table
from groklab.data.tables import properties, table_of


def from_text(folder: Path, text: str | bytes) -> Table:
    file = folder / "table.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return table_of(Task(operation="from_file", file=str(file)))


def written(table: Table) -> dict[tuple[str, str], str | None]:
    names = table.elements
    return {(names[x], names[y]): names[z] if z >= 0 else None for x, y, z in zip(table.x, table.y, table.z, strict=True)}


def test_elements_are_the_residues_that_occur() -> None:
    assert table_of(Task(operation="multiplication")).elements == tuple(str(k) for k in range(1, 97))
    assert table_of(Task(operation="division")).n == 97
    assert table_of(Task(operation="division")).symbol == "x / y (mod 97)"


def test_cells_are_in_row_major_order() -> None:
    table = table_of(Task(operation="division", modulus=3))
    assert list(written(table).items()) == [
        (("0", "1"), "0"),
        (("0", "2"), "0"),
        (("1", "1"), "1"),
        (("1", "2"), "2"),
        (("2", "1"), "2"),
        (("2", "2"), "1"),
    ]
    assert table.names[table.z].tolist() == ["0", "0", "1", "2", "2", "1"]
    assert table.find([0, 0, 2], [0, 1, 2]).tolist() == [-1, 0, 5]
    assert table.mirror.tolist() == [-1, -1, 2, 4, 3, 5]


def test_equal_tasks_share_a_table() -> None:
    assert table_of(Task()) is table_of(Task(modulus=97, train_fraction=0.3))


def test_columns_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        table_of(Task()).z[0] = 3


# — properties —


def matrix(rows: list[list[int]]) -> Table:
    z = np.array(rows, dtype=np.int32)
    n = len(z)
    return Table(
        "test", "?", tuple(map(str, range(n))), *(a.astype(np.int32) for a in (np.repeat(range(n), n), np.tile(range(n), n), z.ravel()))
    )


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 3).flatmap(lambda n: st.lists(st.lists(st.integers(0, n - 1), min_size=n, max_size=n), min_size=n, max_size=n)))
def test_properties_agree_with_their_definitions(rows: list[list[int]]) -> None:
    z = rows
    every = range(len(rows))
    identities = [e for e in every if all(z[e][a] == a == z[a][e] for a in every)]
    associative = all(z[z[a][b]][c] == z[a][z[b][c]] for a in every for b in every for c in every)
    assert properties(matrix(rows)) == {
        "commutative": all(z[a][b] == z[b][a] for a in every for b in every),
        "associative": associative,
        "latin_square": all(len({z[a][b] for b in every}) == len(every) == len({z[b][a] for b in every}) for a in every),
        "group": associative and bool(identities) and all(any(z[a][b] == identities[0] == z[b][a] for b in every) for a in every),
    }


def test_one_wrong_answer_in_a_group_is_found() -> None:
    table = table_of(Task(operation="group_product", group="symmetric(4)"))
    # Two rows exchanged: still a Latin square, no longer associative.
    z = table.z.reshape(24, 24).copy()
    z[[3, 4]] = z[[4, 3]]
    assert properties(matrix(z.tolist())) == {"commutative": False, "associative": False, "latin_square": True, "group": False}


@pytest.mark.medium
def test_properties_of_the_largest_group_are_decided() -> None:
    assert properties(table_of(Task(operation="addition", modulus=2000))) == dict.fromkeys(
        ("commutative", "associative", "latin_square", "group"), True
    )


def test_partial_tables_have_undecided_properties(tmp_path: Path) -> None:
    division = properties(table_of(Task(operation="division")))
    assert (division["commutative"], division["associative"], division["group"]) == (False, None, None)
    holes = from_text(tmp_path, "x,y,z\n0,0,0\n0,1,1\n1,0,1\n1,1,\n2,2,1\n")
    assert properties(holes) == dict.fromkeys(("commutative", "associative", "latin_square", "group"))
    clash = from_text(tmp_path, "x,y,z\n0,0,0\n0,1,0\n1,0,1\n1,1,\n2,2,1\n")
    assert properties(clash) == {"commutative": False, "associative": None, "latin_square": False, "group": None}
    renamed = from_text(tmp_path, "x,y,z\na,c,0\na,d,1\nb,c,1\nb,d,0\n")
    assert properties(renamed) == {"commutative": None, "associative": None, "latin_square": True, "group": None}


# — files —


def test_a_small_file(tmp_path: Path) -> None:
    table = from_text(tmp_path, "note,x,z,y\nfirst, b ,c,a\n,a,a,a\n,a,b,b\n,b,,b\n,b,c,c\n")
    assert table.elements == ("a", "b", "c")
    assert table.cells == 9
    assert written(table)["b", "a"] == "c"
    assert table.known.sum() == 4
    assert written(table)["b", "b"] is None
    assert written(table)["c", "c"] is None


def test_disjoint_names_make_a_rectangle(tmp_path: Path) -> None:
    table = from_text(tmp_path, "x,y,z\n2,a,yes\n10,a,no\n2,b,no\n10,b,yes\n10,c,\n")
    assert table.elements == ("2", "10", "a", "b", "c", "no", "yes")
    assert list(written(table)) == [(x, y) for x in ("2", "10") for y in "abc"]
    assert table.known.sum() == 4


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_endings_byte_order_marks_and_quotes(tmp_path: Path, ending: str, mark: bytes) -> None:
    rows = ['"x","y","z"', '"a,b",é,"say ""hi"""', "é,é,é", "", 'é,"a,b",é', '"a,b","a,b",é', ",,"]
    table = from_text(tmp_path, mark + ending.join(rows).encode())
    assert written(table)["a,b", "é"] == 'say "hi"'
    assert table.cells == 4


def test_names_are_sorted() -> None:
    assert sorted_names({"10", "9", "-3", "007", "7"}) == ("-3", "007", "7", "9", "10")
    assert sorted_names({"a10", "a9", "b", "3", "20"}) == ("3", "20", "a9", "a10", "b")


def test_equal_content_shares_a_table_and_changed_content_does_not(tmp_path: Path) -> None:
    text = "x,y,z\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n"
    first = from_text(tmp_path, text)
    assert from_text(tmp_path, text) is first
    assert from_text(tmp_path, text.replace("1,1,0", "1,1,1")) is not first


ROWS = "x,y,z\n0,0,0\n0,1,1\n1,0,1\n1,1,0\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        (" \n\n", "empty"),
        ("x,y,z\n", "no rows below the header"),
        ("x,y\n0,0\n", "no column z; found 'x', 'y'"),
        ("a,b,c\n0,0,0\n", "no column x and no column y and no column z"),
        ("x;y;z\n0;0;0\n", "got 1 cells with a known z"),
        ("x,y,z,x\n0,0,0,0\n", "column x more than once"),
        (ROWS + "2,2\n", "line 6: got 2 fields; expected 3"),
        (ROWS + "2,2,1,1\n", "line 6: got 4 fields; expected 3"),
        (ROWS + ",2,1\n", "line 6: x is empty"),
        (ROWS + "2, ,1\n", "line 6: y is empty"),
        (ROWS + "0,1,0\n", r"lines 3 and 6: the cell \(0, 1\) is given twice, with z = '1' and z = '0'"),
        (ROWS + ",1,0\n2,,0\n", "line 6: x is empty.*line 7: y is empty"),
        ("x,y,z\n0,0,0\n0,1,1\n1,0,1\n1,1,\n", "got 3 cells with a known z; expected at least 4"),
        (ROWS.encode() + b"\xff\xfe,1,2\n", "line 6, byte 30: not UTF-8. Save the file as CSV in UTF-8"),
        (ROWS.encode("utf-16") + b"\x00", "line 6, byte 62: not UTF-16. Save the file as CSV in UTF-8"),
        (ROWS.encode() + b"2,\x00,1\n", "line 6: a zero byte"),
        (b"\x7fELF\x00\x01\x02", "zero byte"),
        (bytes(range(128, 256)) * 10, "not UTF-8"),
        (ROWS + '"2,2,1\n', "line 6: not a row of a CSV file"),
        (ROWS + '"2"2,2,1\n', "line 6: not a row of a CSV file"),
        (ROWS + "2,2," + "9" * 200_000 + "\n", "line 6: not a row of a CSV file: field larger"),
        (ROWS + "2,2," + "9" * 5000 + "\n", "line 6: a name of 5,000 characters"),
        ("x,y,z\n" + "".join(f"{k},{k},1\n" for k in range(2001)), "2,001 names of x and 2,001 of y make 4,004,001 cells"),
    ],
)
def test_wrong_files_are_explained(tmp_path: Path, content: str | bytes, words: str) -> None:
    with pytest.raises(ValueError, match=f"(?s)file .*table.csv: .*{words}"):
        from_text(tmp_path, content)
    (problem,) = Run.of(file=str(tmp_path / "table.csv")).problems()
    assert problem.field == "file"


def test_what_is_not_a_file(tmp_path: Path) -> None:
    for path, words in (
        (tmp_path / "no.csv", "no such file"),
        (tmp_path, "not a file"),
        (Path("/dev/zero"), "not a file"),
        (Path("a\0b"), "a"),
    ):
        with pytest.raises(ValueError, match=words):
            table_of(Task(operation="from_file", file=str(path)))
    with pytest.raises(ValueError, match=r"cannot be read|no such file"):
        table_of(Task(operation="from_file", file=str(tmp_path / ("a" * 5000))))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=200), st.text(alphabet='xyz01,"\r\n ;\t', max_size=80).map(lambda t: b"x,y,z\n" + t.encode())))
def test_hostile_content_gives_a_table_or_an_explanation(tmp_path: Path, content: bytes) -> None:
    explained = ""
    try:
        table = from_text(tmp_path, content)
    except ValueError as error:
        explained = str(error)
    assert explained.startswith("file ") or table.known.sum() >= 4
