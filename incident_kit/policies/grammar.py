"""The keys of the policy language, each with its reader and writer, and what version 1 refuses by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from incident_kit.durations import show_duration
from incident_kit.errors import InvalidPolicy, did_you_mean
from incident_kit.policies import policyvalues as values
from incident_kit.policies.conditions import Rule, not_in_version_1
from incident_kit.policies.routes import Breaker, HalfOpen, OnFallback, Retry

SHORT_KEY = re.compile(r"max_(p(?:50|75|80|90|95|98|99|99\.5|99\.9)_ms)")  # max_p59_ms is a slip
LONGEST_CALL_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Key:
    """One key: the attributes it fills, how its value is read and shown; or the section that it opens.

    `unset` is what a file says for None; without it, or where `show` returns None, the file says nothing.
    """

    attribute: str | tuple[str, ...]
    read: Callable[..., Any]
    show: Callable[[Any], Any] = lambda value: value
    section: str = ""
    unset: str | None = None

    def filled(self, value: Any) -> dict[str, Any]:
        """Return the attributes that a value, once read, fills."""
        return (
            {self.attribute: value}
            if isinstance(self.attribute, str)
            else dict(zip(self.attribute, value, strict=True))
        )

    def held(self, owner: Any) -> Any:
        """Return the value that an object has for this key."""
        if isinstance(self.attribute, str):
            return getattr(owner, self.attribute)
        return tuple(getattr(owner, name) for name in self.attribute)

    def shown(self, owner: Any) -> Any:
        """Return what a file says for an object's value of this key; None: nothing."""
        held = self.held(owner)
        return self.unset if held is None else self.show(held)


def _duration(attribute: str, read: Callable[[Any], int] = values.duration) -> Key:
    return Key(attribute, read, show_duration)


def _shown_if_any(value: tuple[str, ...]) -> list[str | int] | None:
    return values.show_classes(value) or None


def _one_duration(value: Any) -> int:
    if value == "completion":
        raise InvalidPolicy("must be a duration such as 1m: an alert is judged by sweeps")
    return values.positive_duration(value)


def _some_classes(value: Any) -> tuple[str, ...]:
    if not (found := values.classes(value)):
        raise InvalidPolicy("must name a failure class, such as [context_window]")
    return found


_WHEN = Key("when", Rule.parse, Rule.tree)
_WINDOW = Key("windows", values.windows, values.show_windows)
_MIN_REQUESTS = Key("min_requests", values.whole(1))
_ERRORS = Key("errors", values.classes, values.show_classes)
_NO_DATA = Key("no_data", values.one_of("hold", "ok", "breach"))
_BREAKER = Key("breaker", Breaker, section="breaker")
_ONLY_FOR = Key("only_for", _some_classes, _shown_if_any)

NOTES = {
    "owner": Key("owner", values.prose),
    "reason": Key("reason", values.prose),
    "decided": Key("decided", values.day),
    "review_by": Key("review_by", values.day),
    "rehearsed": Key("rehearsed", values.day),
    "note": Key("note", values.prose),
}
KEYS: dict[str, dict[str, Key]] = {
    "policy": {"version": Key("version", values.version), "name": Key("name", values.text), **NOTES},
    "route": {
        **NOTES,
        "match": Key("match", values.match, values.show_match),
        "primary": Key(("primary", "weights"), values.primary, values.show_primary),
        "fallback_on": Key("fallback_on", values.classes, values.show_classes),
        "retry": Key("retry", Retry, section="retry"),
        "deadline_ms": Key("deadline_ms", values.whole(1, LONGEST_CALL_MS)),
        "sticky": Key("sticky", values.one_of("none", "conversation")),
        "on_fallback": Key("on_fallback", OnFallback, section="on_fallback"),
        "breaker": _BREAKER,
    },
    "entry": {"model": Key("model", values.model), "only_for": _ONLY_FOR, "breaker": _BREAKER},
    "template": {"template": Key("template", values.text), "only_for": _ONLY_FOR},
    "queue": {"queue": _duration("queue_ms", values.positive_duration)},
    "switch": {
        "from": Key("start", values.instant, values.show_instant),
        "until": Key("end", values.instant, values.show_instant),
        "to": Key("to", values.text),
    },
    "retry": {
        "attempts": Key("attempts", values.whole(0, 100)),
        "retry_on": Key("retry_on", values.classes, values.show_classes),
        "timeout_ms": Key("timeout_ms", values.whole(1, LONGEST_CALL_MS)),
        "ttft_timeout_ms": Key("ttft_timeout_ms", values.whole(1, LONGEST_CALL_MS)),
        "backoff_ms": Key("backoff_ms", values.whole(0, LONGEST_CALL_MS)),
    },
    "on_fallback": {
        "tools": Key("tools", values.one_of("enabled", "disabled")),
        "max_tokens": Key("max_tokens", values.whole(1)),
    },
    "breaker": {
        "scope": Key("scope", values.one_of("route", "intent", "target")),
        "window": _WINDOW,
        "min_requests": _MIN_REQUESTS,
        "when": _WHEN,
        "for": _duration("for_ms"),
        "every": Key("every_ms", values.every, show_duration, unset="completion"),
        "errors": _ERRORS,
        "cooldown": Key(("cooldown_ms", "cooldown_factor", "cooldown_max_ms"), values.cooldown, values.show_cooldown),
        "half_open": Key("half_open", HalfOpen, section="half_open"),
        "no_data": _NO_DATA,
        "observe": Key("observe", values.one_of("completed", "elapsed")),
    },
    "half_open": {
        "requests": Key("requests", values.whole(0)),
        "share": Key("share", values.share, values.show_number),
        "max_wait": _duration("max_wait_ms", values.positive_duration),
        "max_duration": _duration("max_duration_ms", values.positive_duration),
        "when": _WHEN,
    },
    "alert": {
        "name": Key("name", values.text),
        "window": _WINDOW,
        "min_requests": _MIN_REQUESTS,
        "when": _WHEN,
        "for": _duration("for_ms"),
        "keep_firing_for": _duration("keep_firing_ms"),
        "every": Key("every_ms", _one_duration, show_duration),
        "errors": _ERRORS,
        "no_data": _NO_DATA,
        "severity": Key("severity", values.text),
    },
}
OTHER_KEYS = {
    "policy": ("defaults", "routes", "alerts"),
    "route": ("intent", "fallback", "switch", "max_p95_ms", "disable_tools_on_fallback"),
    "entry": ("max_p95_ms", "template", "queue"),
    "alert": ("intent",),
}
NAMES = {
    "policy": "the file",
    "route": "a route",
    "entry": "a fallback entry",
    "template": "a fallback entry that is a template",
    "queue": "a fallback entry that is a queue",
    "switch": "a switch",
    "alert": "an alert",
}
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
    for what, pattern in NOT_IN_VERSION_1.items():
        if pattern.fullmatch(key):
            return not_in_version_1(f"{what} (`{key}`)")
    name = NAMES.get(section, f"`{section}`")
    if hint := did_you_mean(key, known):
        return InvalidPolicy(f"{key!r} is not a key of {name}{hint}")
    homes = [home for home, keys in KEYS.items() if key in keys and home not in {section, "entry", "alert"}]
    if key in {"intent", "fallback", "switch"} or "route" in homes:
        return InvalidPolicy(f"{key!r} belongs to a route: write it under `routes:`, in `- intent: ...`")
    if homes:
        return InvalidPolicy(f"{key!r} is not a key of {name}: it belongs under `{homes[0]}:`")
    if key in KEYS["alert"]:
        return InvalidPolicy(f"{key!r} is not a key of {name}: it belongs to an alert, under `alerts:`")
    return InvalidPolicy(f"{key!r} is not a key of {name}; its keys are {', '.join(known)}")
