"""Text that a backend may have written, made fit for a terminal and for any encoding."""

from __future__ import annotations


def printable(text: str, *, keep: str = "") -> str:
    """Escape what a terminal would obey and what cannot be encoded, but for the characters to keep.

    Source: ``str.isprintable``; lone surrogates are not printable, so the result can be encoded.
    """
    return "".join(
        char if char.isprintable() or char in keep else ascii(char)[1:-1] for char in text
    )
