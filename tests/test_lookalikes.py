"""Elements that a person cannot tell apart are said, with what differs between them."""

import pytest

from groklab.config.checks import RunError
from groklab.config.run import Run
from groklab.data.files import read_cells
from groklab.data.lookalikes import same_looks, similar_looks, told
from groklab.laboratory.checks import check

SAME = [
    ("é", "e\u0301", "U+00E9", "U+0301"),
    ("a", "a\u200b", "'a'", "U+200B"),
    ("a b", "a\u00a0b", "'a b'", "U+00A0"),
    ("a", "\ufeffa", "'a'", "U+FEFF"),
    ("a", "a\u00ad", "'a'", "U+00AD"),
    ("a", " a", "'a'", "' a'"),
    ("a b", "a\tb", "'a b'", "U+0009"),
    ("Å", "\u212b", "U+00C5", "U+212B"),
    ("x", "\u202ex", "'x'", "U+202E"),
    ("", "\u3164", "''", "U+3164"),
    ("❤", "❤\ufe0f", "U+2764", "U+FE0F"),
    ("\ud55c", "\u1112\u1161\u11ab", "U+D55C", "U+1112"),
]
SIMILAR = [("a", "а", "U+0430"), ("A", "Α", "U+0391"), ("-1", "−1", "U+2212"), ("fi", "ﬁ", "U+FB01"), ("A", "Ａ", "U+FF21")]
DIFFERENT = [("a", "A"), ("x2", "x²"), ("e", "é"), ("é", "è"), ("o", "∘"), ("1", "l"), ("中", "国"), ("a b", "ab"), ("م", "ن")]


@pytest.mark.parametrize(("first", "second", *["one", "other"]), SAME)
def test_names_that_look_the_same_are_told_with_their_code_points(first, second, one, other):
    words = same_looks(["0", first, "1", second])
    assert "look the same" in words
    assert one in words
    assert other in words
    assert similar_looks([first, second]) is None, "the error says it already"


@pytest.mark.parametrize(("first", "second", "point"), SIMILAR)
def test_letters_of_two_alphabets_are_noted_and_not_refused(first, second, point):
    assert same_looks([first, second]) is None
    assert point in similar_looks([first, second])


@pytest.mark.parametrize("names", DIFFERENT)
def test_names_that_look_different_are_nothing_to_tell(names):
    assert same_looks(names) is None
    assert similar_looks(names) is None


def test_many_pairs_are_counted_and_long_names_are_cut():
    names = [text for number in range(10) for text in (f"{number}", f"{number}\u200b")]
    assert same_looks(names).endswith("and 7 more. Write each in one way, or give what differs another name.")
    assert len(same_looks(["a" * 900, "a" * 900 + "\u200b"])) < 300
    assert told("\n" * 20) == r"'\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n' (U+000A, U+000A, U+000A, U+000A, U+000A, U+000A, …)"


def test_a_table_with_names_that_look_the_same_is_refused_and_still_read(tmp_path):
    names = ["é", "e\u0301", "c"]
    file = tmp_path / "table.csv"
    file.write_text("x,y,z\n" + "".join(f"{a},{b},{a}\n" for a in names for b in names), encoding="utf-8")
    with pytest.raises(RunError, match=r"look the same.*U\+0301.*U\+00E9"):
        check(Run.of(operation="from_file", file=str(file), train_fraction=0.5))
    assert set(read_cells(file).elements) == set(names), "stored runs of such a table keep their elements and ids"
