"""Spans of versions as people write them: ``policy.yaml@2026-10-05T12:00Z..2026-10-05T14:00Z``, an open end left out."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from incident_kit.errors import InvalidPolicy


def is_version(text: str | Path) -> bool:
    """Return whether a text says a version, ``FILE@FROM..UNTIL``, and is not a file's own name."""
    _, at, times = str(text).rpartition("@")
    return bool(at) and ".." in times and not Path(text).is_file()


def spans_of(text: str) -> tuple[str, datetime | None, datetime | None]:
    """Return the file of ``FILE@FROM..UNTIL``, and its two times.

    Raises
    ------
    InvalidPolicy
        A time is none, or has no zone.

    Examples
    --------
    >>> file, since, until = spans_of("old.yaml@..2026-10-05T14:00Z")
    >>> file, since, until.isoformat()
    ('old.yaml', None, '2026-10-05T14:00:00+00:00')
    """
    if not is_version(text):
        return text, None, None
    file, _, times = text.rpartition("@")
    since, _, until = times.partition("..")
    return file, instant(since, text) if since else None, instant(until, text) if until else None


def instant(text: str | datetime, where: str) -> datetime:
    """Return an instant from a text with its zone.

    Raises
    ------
    InvalidPolicy
        It is no time, or has no zone.
    """
    try:
        at = text if isinstance(text, datetime) else datetime.fromisoformat(text)
    except ValueError:
        raise InvalidPolicy(f"{where}: {text!r} is not a time; write 2026-10-05T14:00Z") from None
    if at.tzinfo is None:
        raise InvalidPolicy(
            f"{where}: {text} has no zone; write {at.isoformat(timespec='minutes')}Z, or +02:00 at its end"
        )
    return at.astimezone(UTC)


def span(since: datetime | None, until: datetime | None) -> str:
    """Return a time as a version writes it: ``2026-10-05T12:00Z..2026-10-05T14:00Z``, an open end left out."""
    return f"{_written(since)}..{_written(until)}"


def _written(at: datetime | None) -> str:
    if at is None:
        return ""
    exact = "minutes" if not (at.second or at.microsecond) else "auto"
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=exact) + "Z"
