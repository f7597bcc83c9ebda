"""The values that stand behind the keys of a policy: each has a reader that says what is wrong, and a way to be shown."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from incident_kit.durations import parse_duration, show_duration
from incident_kit.errors import InvalidPolicy, did_you_mean
from incident_kit.policies.routes import Window

CLASSES = ("5xx", "4xx", "timeout", "context_window", "content_policy", "tool_error", "invalid_output")
MATCHED: dict[str, type] = {
    "channel": str,
    "conversation_id": str,
    "ticket_id": str,
    "requested": str,
    "stream": bool,
    "tools_offered": int,
    "prompt_tokens": int,
}
ENDS = ("human", "reject")
MOST = 1_000_000
MOST_WINDOWS = 8


def text(value: Any) -> str:
    """Return a name: printable, not blank."""
    if not isinstance(value, str):
        raise InvalidPolicy(
            f"must be text, not {kind_of(value)}" + (" (put quotes around it)" if _is_scalar(value) else "")
        )
    if not value.strip() or value != value.strip() or not value.isprintable() or len(value) > 200:
        raise InvalidPolicy("must be a name: 1 to 200 printable characters, no blanks around it")
    return value


def prose(value: Any) -> str:
    """Return free text, which may have lines."""
    if not isinstance(value, str):
        raise InvalidPolicy(
            f"must be text, not {kind_of(value)}" + (" (put quotes around it)" if _is_scalar(value) else "")
        )
    return value


def day(value: Any) -> date:
    """Return a date."""
    try:
        return value if type(value) is date else date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidPolicy(f"must be a date such as 2026-10-05, not {kind_of(value)}") from None


def instant(value: Any) -> datetime:
    """Return an instant with a zone, as UTC."""
    try:
        at = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        if at.tzinfo is None:
            raise InvalidPolicy(f"needs a zone: write {at.isoformat()}Z for UTC, or {at.isoformat()}+02:00")
        at = at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InvalidPolicy):
            raise
        raise InvalidPolicy(f"must be a time such as 2026-10-05T14:03:00Z, not {kind_of(value)}") from None
    if not 1970 <= at.year < 2200:
        raise InvalidPolicy(f"must lie between 1970 and 2200, not in {at.year}")
    return at


def show_instant(value: datetime) -> str:
    """Return an instant as a file writes it."""
    return value.isoformat().replace("+00:00", "Z")


def whole(least: int, most: int = MOST) -> Callable[[Any], int]:
    """Return the reader of a whole number between two bounds."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidPolicy(f"must be a whole number, not {kind_of(value)}")
        if not least <= value <= most:
            raise InvalidPolicy(f"must be between {least:,} and {most:,}, not {kind_of(value)}")
        return value

    return read


def share(value: Any) -> float:
    """Return a share: more than 0, at most 1, to nine decimals."""
    if not _is_number(value) or not 0 < value <= 1 or not round(value, 9):
        raise InvalidPolicy(f"must be a share above 0 and up to 1, not {kind_of(value)}")
    return round(float(value), 9)


def show_number(value: float) -> int | float:
    """Return a number without a point where it is whole."""
    return int(value) if value == int(value) else float(value)


def classes(value: Any) -> tuple[str, ...]:
    """Return failure classes: names, ``5xx``, ``4xx`` or status codes."""
    if not isinstance(value, list | tuple):
        raise InvalidPolicy(f"must be a list such as [timeout, 5xx, 429], not {kind_of(value)}")
    found = tuple(str(item) if type(item) is int and 0 <= item < 10_000 else item for item in value)
    for item in found:
        if not isinstance(item, str) or not (item in CLASSES or re.fullmatch(r"[45]\d\d", item, re.ASCII)):
            hint = did_you_mean(item, CLASSES) if isinstance(item, str) else ""
            known = ", ".join(CLASSES)
            raise InvalidPolicy(
                f"{kind_of(item)} is not a failure class{hint}: {known}, or a status code from 400 to 599"
            )
    return found


def show_classes(value: tuple[str, ...]) -> list[str | int]:
    """Return failure classes as a file writes them: codes as numbers."""
    return [int(item) if item.isdigit() else item for item in value]


def share_a_failure(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Return whether a failure can belong to both lists of classes: a 429 is a 4xx, as an overlong prompt is."""

    def family(item: str) -> str:
        return "4xx" if item in {"context_window", "content_policy"} or item[0] == "4" else "5xx" * (item[0] == "5")

    return any(a == b or (family(a) == family(b) and family(a) in {a, b}) for a in some for b in others)


def one_of(*words: str) -> Callable[[Any], str]:
    """Return the reader of a word."""

    def read(value: Any) -> str:
        if value not in words:
            hint = did_you_mean(value, words) if isinstance(value, str) else ""
            raise InvalidPolicy(f"must be {' or '.join(words)}, not {kind_of(value)}{hint}")
        return str(value)

    return read


def windows(value: Any) -> tuple[Window, ...]:
    """Return one window or several: sliding (``5m``), tumbling (``1m tumbling``) or of requests (``100 requests``)."""
    found = tuple(_window(item) for item in value) if isinstance(value, list | tuple) else (_window(value),)
    if not found:
        raise InvalidPolicy("must be a window such as 5m, or a list of them; this list is empty")
    if len(set(found)) < len(found) or len(found) > MOST_WINDOWS:
        raise InvalidPolicy(f"must be a list of different windows, at most {MOST_WINDOWS}")
    return found


def show_windows(value: tuple[Window, ...]) -> str | list[str]:
    """Return windows as a file writes them."""
    return [str(window) for window in value] if len(value) > 1 else str(value[0])


def _window(value: Any) -> Window:
    if isinstance(value, str) and (count := re.fullmatch(r"(\d{1,9}) requests?", value, re.ASCII)):
        return Window("count", whole(1)(int(count[1])))
    if isinstance(value, str) and (span := re.fullmatch(r"(\S+) +tumbling", value)):
        return Window("tumbling", positive_duration(span[1]))
    if isinstance(value, int) and not isinstance(value, bool):
        shown = kind_of(value)
        raise InvalidPolicy(f"a window needs a unit: '{shown}s' or '{shown} requests', not {shown}")
    return Window("sliding", positive_duration(value))


def duration(value: Any) -> int:
    """Return a duration; a value too long to repeat is shown in part."""
    if isinstance(value, str) and len(value) <= 60:
        return parse_duration(value)
    if isinstance(value, int | float) and not isinstance(value, bool) and len(str(value)) < 60:
        return parse_duration(value)
    raise InvalidPolicy(f"{kind_of(value)} is not a duration: write it like 500ms, 30s, 5m or 1h30m")


def positive_duration(value: Any) -> int:
    """Return a duration of at least a millisecond."""
    if (milliseconds := duration(value)) == 0:
        raise InvalidPolicy("must be longer than nothing")
    return milliseconds


def every(value: Any) -> int | None:
    """Return how often a breaker is judged; None: at every completion."""
    if isinstance(value, str) and not value[:1].isdigit():
        one_of("completion", "a duration")(value)
        return None if value == "completion" else positive_duration(value)
    return positive_duration(value)


def cooldown(value: Any) -> tuple[int, Fraction, int | None]:
    """Return the first rest, the factor of each further one in a row, and the longest: ``60s``, or a mapping of them."""
    if not isinstance(value, dict):
        return duration(value), Fraction(1), None
    for key in value:
        if key not in {"base", "factor", "max"}:
            raise InvalidPolicy(f"{key!r} is not a key of cooldown{did_you_mean(str(key), ('base', 'factor', 'max'))}")
    if "base" not in value:
        raise InvalidPolicy("needs `base`, or write just `cooldown: 60s`")
    base, factor = duration(value["base"]), value.get("factor", 1)
    if not _is_number(factor) or not 1 <= factor <= 1000:
        raise InvalidPolicy(f"needs a `factor` from 1 to 1000, not {kind_of(factor)}")
    longest = duration(value["max"]) if "max" in value else None
    if longest is not None and longest < base:
        raise InvalidPolicy(f"needs a `max` that is not below its base, {show_duration(base)}")
    return base, Fraction(str(round(factor, 6))), longest


def show_cooldown(value: tuple[int, Fraction, int | None]) -> str | dict[str, Any]:
    """Return a cooldown as a file writes it, in the short form if it does not grow."""
    base, factor, longest = value
    if factor == 1 and longest is None:
        return show_duration(base)
    shown = {"base": show_duration(base), "factor": show_number(float(factor))}
    return shown if longest is None else shown | {"max": show_duration(longest)}


def version(value: Any) -> int:
    """Return the version of the language."""
    if whole(0)(value) != 1:
        raise InvalidPolicy(f"must be 1, the version of the language that this kit reads, not {value}")
    return 1


def model(value: Any) -> str:
    """Return the name of a target."""
    if value in ENDS:
        raise InvalidPolicy(f"{value!r} is not a model: it ends a chain, written alone, as in `fallback: [x, {value}]`")
    return text(value)


def primary(value: Any) -> tuple[str, tuple[tuple[str, float], ...]]:
    """Return the primary, and where there are several, each with its weight."""
    if not isinstance(value, dict):
        if value in ENDS:
            raise InvalidPolicy(f"{value!r} ends a chain; the primary is a model")
        return model(value), ()
    if not value:
        raise InvalidPolicy("must be a model, or models with their weights, as in {a: 90, b: 10}")
    if keys := [key for key in ("template", "queue", *ENDS) if key in value]:
        raise InvalidPolicy(f"{keys[0]!r} ends a chain; the primary is a model")
    for name, weight in value.items():
        if not _is_number(weight) or not 0.001 <= weight <= MOST:
            raise InvalidPolicy(f"needs a weight from 0.001 to {MOST:,} for {text(name)!r}, not {kind_of(weight)}")
    weights = tuple((model(name), round(float(weight), 9)) for name, weight in value.items())
    return weights[0][0], weights if len(weights) > 1 else ()


def show_primary(value: tuple[str, tuple[tuple[str, float], ...]]) -> str | dict[str, int | float]:
    """Return the primaries as a file writes them."""
    return {name: show_number(weight) for name, weight in value[1]} or value[0]


def match(value: Any) -> tuple[tuple[str, tuple[str | int | bool, ...]], ...]:
    """Return what must be true at arrival: keys with the values that they may have; labels by ``labels.NAME``."""
    if not isinstance(value, dict):
        raise InvalidPolicy(f"must be a mapping such as {{channel: [chat, email]}}, not {kind_of(value)}")
    labels = value.get("labels", {})
    if not isinstance(labels, dict):
        raise InvalidPolicy("must name the label: `labels.team: x`, or `labels: {team: x}`")
    plain = [(key, one) for key, one in value.items() if key != "labels"]
    flat = plain + [(f"labels.{text(key)}", one) for key, one in labels.items()]
    if len({key for key, _ in flat}) < len(flat):
        raise InvalidPolicy("must name a label once")
    return tuple((key, _match_values(key, one)) for key, one in flat)


def _match_values(key: str, value: Any) -> tuple[str | int | bool, ...]:
    form = str if key.startswith("labels.") and text(key) != "labels." else MATCHED.get(key)
    if form is None:
        hint = did_you_mean(key, MATCHED)
        raise InvalidPolicy(f"{key!r} is not known at arrival{hint}: match on {', '.join(MATCHED)} or labels.NAME")
    values = value if isinstance(value, list | tuple) else [value]
    for one in values:
        if (
            type(one) is not form
            or (isinstance(one, str) and len(one) > 1000)
            or (type(one) is int and abs(one) > 10**15)
        ):
            what = {str: "text, in quotes if it looks like a number", bool: "true or false", int: "a whole number"}
            raise InvalidPolicy(f"must compare {key} with {what[form]}, not {kind_of(one)}")
    if not values or len(set(values)) < len(values):
        raise InvalidPolicy(f"must give {key} a value, or a list of different ones")
    return tuple(values)


def show_match(value: tuple[tuple[str, tuple[str | int | bool, ...]], ...]) -> dict[str, Any] | None:
    """Return what must be true at arrival as a file writes it; None: nothing."""
    return {key: values[0] if len(values) == 1 else list(values) for key, values in value} or None


def kind_of(value: Any) -> str:
    """Return a value for a message: what it is, or what it says, in part if it is long."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**30:
        return "a number of over 30 digits"
    shown = repr(value) if not isinstance(value, bool) else str(value).lower()
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | date)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
