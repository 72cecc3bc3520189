"""Words of others in a terminal: a hospital's reason or a server's answer is text, and no command.

A control sequence could write over what stood there, or make a terminal type for whoever sits at
it.
"""

from __future__ import annotations


def tame(text: str) -> str:
    """``text`` with a mark in place of everything that is neither shown nor a new line."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)
