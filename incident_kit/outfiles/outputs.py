"""Outputs: files that are written whole or not at all, whatever stops the writer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from incident_kit.errors import UnwritableFile


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Yield a path beside ``path`` to write to; what was written takes the place of ``path`` when all of it is there.

    The name begins with a dot and ends like the path's own, which some writers go by. After an error or an interrupt nothing
    of it stays; a process that is killed leaves it behind, and ``path`` as it was.

    Raises
    ------
    UnwritableFile
        The place cannot be written to, or is full.
    """
    path = Path(path)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.unfinished{path.suffix}")
    try:
        yield beside
        beside.replace(path)
    except OSError as error:
        raise UnwritableFile(f"{path} cannot be written: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


def write_whole(path: str | Path, content: str | bytes) -> Path:
    """Return the path after writing a text (UTF-8, its line ends as they are) or bytes to it, whole or not at all."""
    with whole(path) as beside:
        beside.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(path)
