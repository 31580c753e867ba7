"""Cells of CSV files that a spreadsheet would execute are text to it, and what they were to whoever reads them back."""

import csv

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groklab.data.files import read_cells
from groklab.outside.spreadsheets import as_text, bare
from groklab.results.tables import write_table

DANGEROUS = ["=1+1", "+A1", "-A1", "@SUM(A1)", "\t=1", "\r=1", "=cmd|' /C calc'!A0", "＝1", "'=1", "''=1"]


@given(st.text(max_size=20))
def test_every_text_is_what_it_was(text):
    assert bare(as_text(text)) == text


@pytest.mark.parametrize("text", DANGEROUS)
def test_what_a_spreadsheet_executes_begins_with_an_apostrophe(text):
    assert as_text(text).startswith("'")


@pytest.mark.parametrize("text", ["-5", "+3", "1e-5", "-1.5E+3", "a=b", "", "'quoted'", "x"])
def test_numbers_and_harmless_text_stay(text):
    assert as_text(text) == text


def test_a_table_for_a_spreadsheet_has_no_formula_and_parquet_has_it_as_it_is(tmp_path):
    table = pl.DataFrame({"=head": DANGEROUS, "number": [-1.5] * len(DANGEROUS)})
    write_table(table, tmp_path / "a.csv")
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert [row[0] for row in rows] == ["'=head", *(f"'{text}" for text in DANGEROUS)]
    assert {row[1] for row in rows[1:]} == {"-1.5"}
    write_table(table, tmp_path / "a.parquet")
    assert pl.read_parquet(tmp_path / "a.parquet").equals(table)


def test_a_completed_table_is_read_back_with_its_names(tmp_path):
    names = ["=1+1", "-A", "@x", "'=y", "plain", "-3"]
    rows = [{"x": a, "y": b, "z": names[(i + j) % 6]} for i, a in enumerate(names) for j, b in enumerate(names)]
    table = pl.DataFrame(rows).with_columns(filled=pl.lit(False), confidence=pl.lit(1.0), agreement=pl.lit(1.0))
    write_table(table, tmp_path / "completed.csv")
    cells = read_cells(tmp_path / "completed.csv")
    assert set(cells.elements) == set(names)
    found = {(cells.elements[x], cells.elements[y]): cells.elements[z] for x, y, z in zip(cells.x, cells.y, cells.z, strict=True)}
    assert found == {(row["x"], row["y"]): row["z"] for row in rows}


def test_a_table_of_a_user_keeps_its_apostrophes(tmp_path):
    (tmp_path / "t.csv").write_text("x,y,z\n" + "".join(f"'={a},'={b},'={(a + b) % 3}\n" for a in range(3) for b in range(3)))
    assert set(read_cells(tmp_path / "t.csv").elements) == {"'=0", "'=1", "'=2"}
