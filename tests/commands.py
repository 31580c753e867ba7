"""Commands of pages as tests run them: on smaller networks."""

from collections.abc import Sequence


def smaller(words: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The words of a command with these flags in the place of its own of the same name, as a flag is given once."""
    given = {word for word in flags if word.startswith("--")}
    kept: list[str] = []
    is_replaced = False
    for word in words:
        if word.startswith("--"):
            is_replaced = word in given
        if not is_replaced:
            kept.append(word)
    return [*kept, *flags]
