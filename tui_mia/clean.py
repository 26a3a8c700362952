"""Text from outside, made safe to show."""

from __future__ import annotations

import unicodedata

# Control, format (bidirectional overrides among them), surrogate and private characters, line separators.
_HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
# Joiners hold emoji and several scripts together and do nothing to a terminal.
_HARMLESS = {"\u200c", "\u200d"}


def printable(text: str) -> str:
    """`text` with every character that a terminal might obey shown as its escape, such as `\\x1b`."""
    if text.isprintable():  # most texts are, and a screen shows thousands
        return text
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN or character in _HARMLESS:
        return character
    return ascii(character)[1:-1]
