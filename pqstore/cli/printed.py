"""Text of others as it may be printed: no character that a terminal obeys, or that begins a line, is left as it is."""

from __future__ import annotations

import re

__all__ = ["OBEYED", "printable"]

# Control characters, separators of lines, lone surrogates, and format characters that turn, hide or move text; the
# joiners (U+200C, U+200D) are part of words and emoji, and stay.
OBEYED = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u070f\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    r"""The text with such characters written as Python writes them: ``\x1b``, ``\n``, ``\u202e``."""
    return OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
