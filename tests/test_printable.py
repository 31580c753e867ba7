"""Text of other people is shown so that it acts on no terminal, and so that what differs looks different."""

import shlex
import subprocess
import sys
import unicodedata

import pytest

from groklab.config.fields import Task
from groklab.data.markup import table_html
from groklab.data.tables import table_of
from groklab.outside.printable import command, plain, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain – 中 é ∘ ²", "plain – 中 é ∘ ²"),
        ("\\alpha $_$ [red] {} <b> %", "\\alpha $_$ [red] {} <b> %"),
        ("\x1b[2Ja\x07", "\\x1b[2Ja\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\rc\td\0", "a\\nb\\rc\\td\\x00"),
        ("a\u2028b\u0085", "a\\u2028b\\x85"),
        ("\u202egpj.exe\u2066", "\\u202egpj.exe\\u2066"),
        ("a\u200bb\ufeff\u00ad", "a\\u200bb\\ufeff\\xad"),
        ("a\u00a0b\u3000c", "a\\xa0b\\u3000c"),
        ("\u3164\u2800\ufe0f\u034f", "\\u3164\\u2800\\ufe0f\\u034f"),
        ("\U000e0041\ue000", "\\U000e0041\\ue000"),
        (b"caf\xe9".decode("utf-8", "surrogateescape"), "caf\\xe9"),
        ("\ud800", "\\ud800"),
        ("👩\u200d🚀 ❤\ufe0f", "👩\u200d🚀 ❤\ufe0f"),
        ("a\u200db", "a\\u200db"),
    ],
)
def test_what_is_not_seen_or_would_act_on_a_terminal_is_escaped(text, shown):
    assert printable(text) == shown


def test_no_control_or_format_character_is_ever_shown():
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    odd = [one for one in printable(every) if unicodedata.category(one) in {"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"}]
    assert odd == []


def test_own_line_breaks_are_kept_and_long_text_is_cut():
    assert printable("a\nb\x1b", lines=True) == "a\nb\\x1b"
    assert printable("\n" * 5000, limit=3) == "\\n\\n\\n… (5,000 characters)"
    assert printable("abc", limit=3) == "abc"
    assert printable(7) == "7"


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("a – b − c · ∘ ² ₅ ≤ ≥ … 50 ×", "ascii", "a - b - c . o ^2 _5 <= >= ... 50 x"),
        ("10⁻³ x₁₂ x² 3×", "latin-1", "10^-3 x_12 x² 3×"),
        ("– 3×", "cp1252", "– 3×"),
        ("中é", "latin-1", "\\u4e2dé"),
        ("中é", "utf-8", "中é"),
        ("\udcc3\ud800", "utf-8", "\\xc3\\ud800"),
        ("é–", "no-such-encoding", "\\xe9-"),
        ("é–\udcff", None, "é–\\xff"),
    ],
)
def test_characters_that_an_encoding_lacks_have_others_in_their_place(text, encoding, shown):
    assert plain(text, encoding) == shown


@pytest.mark.parametrize(
    "word", ["runs", "my runs", "a'b", "$(touch x)", "a\nb", "\x1b]0;'\\", "caf\xe9 ", "a\u200b", "-x; rm", "~", "", "*"]
)
def test_a_command_to_be_copied_is_one_line_and_means_the_same_words(word):
    written = command("printf", "%s", word)
    assert printable(written) == written
    done = subprocess.run(["bash", "-c", written.encode()], capture_output=True, env={"LC_ALL": "C.UTF-8"})
    assert done.stdout == word.encode()
    if word.isprintable():
        assert shlex.split(written) == ["printf", "%s", word]


def test_names_on_pages_and_in_notebooks_are_printable_and_escaped(tmp_path):
    file = tmp_path / "table.csv"
    names = ["\u202ex", "<b>"]
    file.write_text("x,y,z\n" + "".join(f"{a},{b},{a}\n" for a in names for b in names), encoding="utf-8")
    page = table_html(table_of(Task(operation="from_file", file=str(file))))
    assert "\u202e" not in page
    assert "\\u202ex" in page
    assert "&lt;b&gt;" in page
    theme = pytest.importorskip("groklab.dashboard.theme", reason="the dashboard is an extra")
    assert theme.escaped("<b>\u202e\x1b") == "&lt;b&gt;\\u202e\\x1b"
