"""Moments: an instant as somebody says it, with a date and a zone, or by the clock of a log's only such minute."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from incident_kit.errors import NoSuchItem

NEAR = timedelta(minutes=1)  # an instant said from memory: "at 14:03"


def moment(which: str | datetime, *, first: datetime, last: datetime, also: str = "") -> datetime:
    """Return an instant in UTC: a datetime or ISO text with a zone, or ``"14:03"`` in UTC on the day on which the log has it.

    Parameters
    ----------
    first, last
        When the log begins and ends, with a zone.
    also
        What else may be written there, for the message: ``"3, "``.

    Raises
    ------
    NoSuchItem
        It is no time, has no zone, or a clock's time comes on no day of the log, or on several.

    Examples
    --------
    >>> day = datetime(2026, 11, 22, 12, tzinfo=UTC), datetime(2026, 11, 22, 18, tzinfo=UTC)
    >>> moment("14:03", first=day[0], last=day[1]).isoformat()
    '2026-11-22T14:03:00+00:00'
    """
    at = which if isinstance(which, datetime) else _clock(which, first.astimezone(UTC), last.astimezone(UTC))
    if at is None:
        try:
            at = datetime.fromisoformat(str(which).strip())
        except ValueError:
            raise NoSuchItem(f"{which!r} is not a time; write {also}14:03 for UTC, or 2026-11-22T12:25:00Z") from None
    if at.tzinfo is None:
        raise NoSuchItem(f"the time {which} has no zone; write {at.isoformat()}Z for UTC")
    return at.astimezone(UTC)


def _clock(text: str, first: datetime, last: datetime) -> datetime | None:
    """Return when a log has a clock's time; None of what is none."""
    try:
        said = time.fromisoformat(text.strip())
    except (ValueError, AttributeError):
        return None
    if said.tzinfo is not None or ":" not in text:
        return None
    days = [first.date() + timedelta(days=i) for i in range((last.date() - first.date()).days + 1)]
    found = [datetime.combine(day, said, tzinfo=UTC) for day in days]
    found = [at for at in found if first - NEAR <= at <= last + NEAR]
    if len(found) != 1:
        how = f"on {len(found)} days" if found else "at no time"
        raise NoSuchItem(
            f"the log has {text.strip()} UTC {how}: it is from {first:%Y-%m-%dT%H:%MZ} to {last:%Y-%m-%dT%H:%MZ}; "
            f"write {first:%Y-%m-%d}T{said:%H:%M}Z"
        )
    return found[0]
