"""Streams: output that its receiver's encoding may not hold, as where Windows redirects into a file, still comes whole."""

from __future__ import annotations

import codecs
import io
import sys

_PLAIN = {
    "…": "...",
    "\u2013": "-",
    "\u2212": "-",
    "≥": ">=",
    "≤": "<=",
    "→": "->",
    "“": '"',
    "”": '"',
}  # those the kit says
_NAME = "incident-kit"


def spell_out() -> None:
    r"""Let standard output and error write what their encoding has no sign for: in plain signs, or as ``\u`` and its number.

    Nothing changes where everything can be written, as in UTF-8.
    """
    codecs.register_error(_NAME, _plainly)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors=_NAME)


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_plain(one) for one in error.object[error.start : error.end]), error.end


def _plain(sign: str) -> str:
    return _PLAIN.get(sign) or sign.encode("ascii", "backslashreplace").decode("ascii")
