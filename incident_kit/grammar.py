"""The keys of the policy language, each with its reader and writer, and the words that this release refuses by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from incident_kit.conditions import Rule, later, not_in_version_1
from incident_kit.durations import parse_duration, show_duration
from incident_kit.errors import InvalidPolicy, did_you_mean
from incident_kit.routes import Breaker, HalfOpen, OnFallback, Retry, Window

CLASSES = ("5xx", "4xx", "timeout", "context_window", "content_policy", "tool_error", "invalid_output")
SHORT_KEY = re.compile(r"max_(p(?:50|75|80|90|95|98|99|99\.5|99\.9)_ms)")  # max_p59_ms is a slip
MOST = 1_000_000


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the attribute it fills, how its value is read and shown; or the section that it opens."""

    attribute: str
    read: Callable[..., Any]
    show: Callable[[Any], Any] = lambda value: value
    section: str = ""


def text(value: Any) -> str:
    """Return a name: printable, not blank."""
    if not isinstance(value, str):
        raise InvalidPolicy(
            f"must be text, not {_kind(value)}" + (" (put quotes around it)" if _is_scalar(value) else "")
        )
    if not value.strip() or value != value.strip() or not value.isprintable() or len(value) > 200:
        raise InvalidPolicy("must be a name: 1 to 200 printable characters, no blanks around it")
    return value


def prose(value: Any) -> str:
    """Return free text, which may have lines."""
    if not isinstance(value, str):
        raise InvalidPolicy(
            f"must be text, not {_kind(value)}" + (" (put quotes around it)" if _is_scalar(value) else "")
        )
    return value


def day(value: Any) -> date:
    """Return a date."""
    try:
        return value if type(value) is date else date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidPolicy(f"must be a date such as 2026-10-05, not {_kind(value)}") from None


def whole(least: int, most: int = MOST) -> Callable[[Any], int]:
    """Return the reader of a whole number between two bounds."""

    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool):
            raise InvalidPolicy(f"must be a whole number, not {_kind(value)}")
        if not least <= value <= most:
            raise InvalidPolicy(f"must be between {least:,} and {most:,}, not {value:,}")
        return value

    return read


def share(value: Any) -> float:
    """Return a share: more than 0, at most 1."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 < value <= 1:
        raise InvalidPolicy(f"must be a share above 0 and up to 1, not {_kind(value)}")
    return float(value)


def classes(value: Any) -> tuple[str, ...]:
    """Return failure classes: names, ``5xx``, ``4xx`` or status codes."""
    if not isinstance(value, list | tuple):
        raise InvalidPolicy(f"must be a list such as [timeout, 5xx, 429], not {_kind(value)}")
    found = tuple(str(item) if isinstance(item, int) and not isinstance(item, bool) else item for item in value)
    for item in found:
        if not isinstance(item, str) or not (item in CLASSES or re.fullmatch(r"[45]\d\d", item, re.ASCII)):
            hint = did_you_mean(item, CLASSES) if isinstance(item, str) else ""
            known = ", ".join(CLASSES)
            raise InvalidPolicy(
                f"{_kind(item)} is not a failure class{hint}: {known}, or a status code from 400 to 599"
            )
    return found


def show_classes(value: tuple[str, ...]) -> list[str | int]:
    """Return failure classes as a file writes them: codes as numbers."""
    return [int(item) if item.isdigit() else item for item in value]


def one_of(key: str, *now: str, then: tuple[str, ...] = (), durations: bool = False) -> Callable[[Any], str]:
    """Return the reader of a word; the words in `then` are refused as not replayed yet."""

    def read(value: Any) -> str:
        if value in then or (durations and isinstance(value, str) and re.fullmatch(r"\d[\ddhms]*", value)):
            raise later(f"`{key}: {value}`")
        if value not in now:
            hint = did_you_mean(value, (*now, *then)) if isinstance(value, str) else ""
            raise InvalidPolicy(f"must be {' or '.join(now)}, not {_kind(value)}{hint}")
        return str(value)

    return read


def window(value: Any) -> Window:
    """Return a sliding window (``5m``) or a count window (``100 requests``)."""
    if isinstance(value, list):
        raise later("a list of windows")
    if isinstance(value, str) and re.fullmatch(r".*\s+tumbling", value):
        raise later("a tumbling window")
    if isinstance(value, str) and (count := re.fullmatch(r"(\d{1,9}) requests?", value, re.ASCII)):
        return Window("count", whole(1)(int(count[1])))
    if isinstance(value, int) and not isinstance(value, bool):
        raise InvalidPolicy(f"a window needs a unit: '{value}s' or '{value} requests', not {value}")
    return Window("sliding", positive_duration(value))


def positive_duration(value: Any) -> int:
    """Return a duration of at least a millisecond."""
    if (milliseconds := parse_duration(value)) == 0:
        raise InvalidPolicy("must be longer than nothing")
    return milliseconds


def cooldown(value: Any) -> int:
    """Return a duration, or that of ``{base: 60s}``; growing cooldowns are refused by name."""
    if not isinstance(value, dict):
        return parse_duration(value)
    for key in value:
        if key in {"factor", "max"}:
            raise later(f"`cooldown: {{{key}: ...}}`")
        if key != "base":
            raise InvalidPolicy(f"{key!r} is not a key of cooldown{did_you_mean(key, ('base', 'factor', 'max'))}")
    if "base" not in value:
        raise InvalidPolicy("needs `base`, or write just `cooldown: 60s`")
    return parse_duration(value["base"])


def version(value: Any) -> int:
    """Return the version of the language."""
    if whole(0)(value) != 1:
        raise InvalidPolicy(f"must be 1, the version of the language that this kit reads, not {value}")
    return 1


def primary(value: Any) -> str:
    """Return the primary; weights are refused by name."""
    if isinstance(value, dict):
        raise later("a weighted `primary`")
    if value in ("human", "reject"):
        raise InvalidPolicy(f"{value!r} ends a chain; the primary is a model")
    return text(value)


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    shown = repr(value) if not isinstance(value, bool) else str(value).lower()
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | date)


def _duration(attribute: str, read: Callable[[Any], int] = parse_duration) -> Key:
    return Key(attribute, read, show_duration)


NOTES = {
    "owner": Key("owner", prose),
    "reason": Key("reason", prose),
    "decided": Key("decided", day),
    "review_by": Key("review_by", day),
    "rehearsed": Key("rehearsed", day),
    "note": Key("note", prose),
}
KEYS: dict[str, dict[str, Key]] = {
    "policy": {"version": Key("version", version), "name": Key("name", text), **NOTES},
    "route": {
        **NOTES,
        "primary": Key("primary", primary),
        "fallback_on": Key("fallback_on", classes, show_classes),
        "retry": Key("retry", Retry, section="retry"),
        "on_fallback": Key("on_fallback", OnFallback, section="on_fallback"),
        "breaker": Key("breaker", Breaker, section="breaker"),
    },
    "entry": {"model": Key("model", text), "breaker": Key("breaker", Breaker, section="breaker")},
    "retry": {
        "attempts": Key("attempts", whole(0, 100)),
        "retry_on": Key("retry_on", classes, show_classes),
        "timeout_ms": Key("timeout_ms", whole(1, 86_400_000)),
        "backoff_ms": Key("backoff_ms", whole(0, 86_400_000)),
    },
    "on_fallback": {
        "tools": Key("tools", one_of("tools", "enabled", "disabled")),
        "max_tokens": Key("max_tokens", whole(1)),
    },
    "breaker": {
        "scope": Key("scope", one_of("scope", "route", then=("intent", "target"))),
        "window": Key("windows", lambda value: (window(value),), lambda value: str(value[0])),
        "min_requests": Key("min_requests", whole(1)),
        "when": Key("when", Rule.parse, Rule.tree),
        "for": _duration("for_ms"),
        "every": Key("every_ms", lambda value: one_of("every", "completion", durations=True)(value) and None, lambda _: "completion"),
        "errors": Key("errors", classes, show_classes),
        "cooldown": _duration("cooldown_ms", cooldown),
        "half_open": Key("half_open", HalfOpen, section="half_open"),
        "no_data": Key("no_data", one_of("no_data", "hold", then=("ok", "breach"))),
        "observe": Key("observe", one_of("observe", "completed", then=("elapsed",))),
    },
    "half_open": {
        "requests": Key("requests", whole(0)),
        "share": Key("share", share, lambda value: int(value) if value == 1 else value),
        "max_wait": _duration("max_wait_ms", positive_duration),
        "when": Key("when", Rule.parse, Rule.tree),
    },
}
OTHER_KEYS = {
    "policy": ("defaults", "routes"),
    "route": ("intent", "fallback", "max_p95_ms", "disable_tools_on_fallback"),
    "entry": ("max_p95_ms",),
}
LATER_KEYS = {
    "policy": ("alerts",),
    "route": ("match", "sticky", "switch", "deadline_ms"),
    "entry": ("only_for", "template", "queue", "human", "reject"),
    "retry": ("ttft_timeout_ms",),
    "half_open": ("max_duration",),
}
NAMES = {"policy": "the file", "route": "a route", "entry": "a fallback entry"}
NOT_IN_VERSION_1 = {
    "ranking": re.compile(r"rank\w*|prefer|sort|order|strategy|routing_strategy|load_?balanc\w*"),
    "rate and budget limits": re.compile(r"(max_)?budget\w*|rate_limits?|limits?|(max_)?(rpm|tpm|rps)(_limit)?"),
    "header triggers": re.compile(r"headers?|(when|on|match)_headers?"),
    "peer-outlier rules": re.compile(r"outliers?|outlier_detection|peers?|success_rate_\w*"),
}


def known_keys(section: str) -> tuple[str, ...]:
    """Return the keys of one section."""
    return (*KEYS[section], *OTHER_KEYS.get(section, ()))


def unknown_key(section: str, key: str) -> InvalidPolicy:
    """Return why a key is refused: by name, as misplaced, or with the nearest known key."""
    known = known_keys(section)
    if key in LATER_KEYS.get(section, ()):
        return later(f"`{key}`")
    for what, pattern in NOT_IN_VERSION_1.items():
        if pattern.fullmatch(key):
            return not_in_version_1(f"{what} (`{key}`)")
    name = NAMES.get(section, f"`{section}`")
    if hint := did_you_mean(key, known):
        return InvalidPolicy(f"{key!r} is not a key of {name}{hint}")
    homes = {home: keys for home, keys in KEYS.items() if key in keys and home not in {section, "entry"}}
    if key in {"intent", "fallback"} or "route" in homes:
        return InvalidPolicy(f"{key!r} belongs to a route: write it under `routes:`, in `- intent: ...`")
    if homes:
        return InvalidPolicy(f"{key!r} is not a key of {name}: it belongs under `{next(iter(homes))}:`")
    return InvalidPolicy(f"{key!r} is not a key of {name}; its keys are {', '.join(known)}")
