r"""Text of other people as it may be shown: element names, paths, plugin names, messages of libraries.

A name may hold escape sequences that move the cursor, line breaks that forge a line, marks that turn the reading direction, and
characters that nobody sees. What a person is shown goes through `printable`, which writes all of these as Python would:
``\x1b``, ``\n``, ``\u202e``. A terminal or a pipe may lack characters that are harmless: `plain` finds others in their place.
A command that is printed to be copied comes from `command`.
"""

from __future__ import annotations

import re
import shlex

_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Characters that are letters, symbols or marks to Unicode, and of which nothing is seen."""
_EMOJI = re.compile(
    "[\u2190-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]\ufe0f?[\U0001f3fb-\U0001f3ff]?(?:\u200d[\u2190-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]\ufe0f?)+"
)
"""A picture made of several by joiners: man, joiner, rocket."""
_COLORED = re.compile("(?<=[\u2190-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff])\ufe0f")
"""The mark that asks for the colored form of a symbol, behind one."""

_PLAIN = {
    "–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "…": "...", "·": ".", "∘": "o", "×": "x", "÷": "/", "±": "+-", "⊗": "(x)", "⋊": "x|",
    "≤": "<=", "≥": ">=", "≠": "!=", "≈": "~", "∝": "~", "→": "->", "←": "<-", "↑": "^", "↓": "v", "∞": "inf", "√": "sqrt", "∂": "d", "∇": "grad",
    "∈": "in", "‖": "||", "⟨": "<", "⟩": ">", "⊥": "_|_", "½": "1/2", "⅓": "1/3", "§": "section ", "✓": "yes", "✗": "no", "⋮": ":",
    "“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "«": "<<", "»": ">>", "\u00a0": " ", "\u202f": " ", "\u2009": " ",
    "│": "|", "┃": "|", "║": "|", "─": "-", "━": "-", "═": "=", "┼": "+", "╭": "+", "╮": "+", "╰": "+", "╯": "+", "╸": "-", "╺": "-",
    "▁": "_", "▂": ".", "▃": "-", "▄": "=", "▅": "+", "▆": "*", "▇": "%", "█": "#", "▶": ">", "▼": "v", "▽": "v", "△": "^", "◐": "o", "•": "*",
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "θ": "theta", "λ": "lambda", "μ": "mu", "µ": "u",
    "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi", "χ": "chi", "ψ": "psi", "ω": "omega",
    "Δ": "Delta", "Π": "Pi", "Σ": "Sigma", "Φ": "Phi", "Ω": "Omega",
}  # fmt: skip
"""What stands for a character where it cannot be written: of the symbols of mathematics and of screens, never of letters of a language."""
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀ", "0123456789+-=()niT")
_LOWERED = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ᵢₙ", "0123456789+-=()in")
_POWERS, _INDICES = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱᵀ]+"), re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ᵢₙ]+")


def path_in(path: object) -> str:
    """A path in a message: whole, so that it can be copied, unless it is so long that no file system has it."""
    text = str(path)
    return text if len(text) <= 4000 else printable(text, limit=100)


def printable(text: object, *, lines: bool = False, limit: int | None = None) -> str:
    r"""Text as it may be shown to a person: what would not be seen, or would act on a terminal, is written as an escape.

    ``lines`` keeps line breaks, for messages that have several lines of their own. ``limit`` is the number of characters that are
    shown of the text at most; the length is said of one that is longer.

    >>> print(printable("a\x1b[2Jb\n\u202e"), printable("\udcc3\xa0"), printable("aleph\u200b" * 99, limit=5))
    a\x1b[2Jb\n\u202e \xc3\xa0 aleph… (594 characters)
    """
    whole = str(text)
    if limit is not None and len(whole) > limit:
        return f"{printable(whole[:limit], lines=lines)}… ({len(whole):,} characters)"
    if whole.isprintable() and not _INVISIBLE.search(whole):
        return whole
    kept = {place for found in (*_EMOJI.finditer(whole), *_COLORED.finditer(whole)) for place in range(*found.span())}
    return "".join(
        one if place in kept or (lines and one == "\n") or (one.isprintable() and not _INVISIBLE.match(one)) else escaped(one)
        for place, one in enumerate(whole)
    )


def escaped(one: str) -> str:
    r"""One character as Python writes it where it is not seen: ``\x1b``, ``\u202e``; a byte of a file name that is no text: ``\xc3``."""
    code = ord(one)
    if 0xDC80 <= code <= 0xDCFF:  # so Python keeps bytes of file names that it cannot read
        return f"\\x{code - 0xDC00:02x}"
    known = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(one)
    return known or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def plain(text: str, encoding: str | None) -> str:
    """Text in the characters that an encoding has: ``2^3 <= 10^-5`` for ``2³ ≤ 10⁻⁵``, and an escape for what nothing stands for.

    >>> print(plain("a ∘ b, 10⁻³ – 50 ×, 中", "ascii"))
    a o b, 10^-3 - 50 x, \\u4e2d
    """
    name = encoding or "utf-8"
    if _fits(text, name):
        return text
    for pattern, digits, mark in ((_POWERS, _RAISED, "^"), (_INDICES, _LOWERED, "_")):
        text = pattern.sub(lambda run, digits=digits, mark=mark: run[0] if _fits(run[0], name) else mark + run[0].translate(digits), text)
    return "".join(one if _fits(one, name) else _PLAIN.get(one) or escaped(one) for one in text)


def _fits(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    except LookupError:  # an encoding that Python does not know: what is left is what all have
        return text.isascii()
    return True


def command(*words: object) -> str:
    r"""A command to be copied into a shell: every word quoted where it needs to be, also one with line breaks or escape sequences.

    >>> print(command("groklab", "show", "latest", "--runs", "my runs"), command("a\nb's"))
    groklab show latest --runs 'my runs' $'a\nb\'s'
    """
    return " ".join(_quoted(str(word)) for word in words)


def _quoted(word: str) -> str:
    if printable(word) == word:
        return shlex.quote(word)
    inside = word.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{printable(inside)}'"
