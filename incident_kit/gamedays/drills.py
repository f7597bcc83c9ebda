"""Drills: standard degradations by name, what an on-call team should have met once before it meets them for real."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from incident_kit.errors import InvalidScenario, did_you_mean
from incident_kit.scenarios.scenario import Degradation

LENGTH = timedelta(minutes=30)
_BOUTS = 4
_MS = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Drill:
    """A standard degradation: its name, what goes wrong, what it teaches, and its parts for a target and a span."""

    name: str
    what: str
    teaches: str
    parts: Callable[[datetime, timedelta], list[dict[str, Any]]]

    def on(self, target: str, begin: datetime, length: timedelta = LENGTH) -> tuple[Degradation, ...]:
        """Return the degradations of one target, from an instant on, for so long."""
        made = self.parts(begin, length)
        return tuple(Degradation.model_validate({"target": target, "text": self.what} | one) for one in made)


def _whole(**what: Any) -> Callable[[datetime, timedelta], list[dict[str, Any]]]:
    """Return what lasts from the beginning to the end; ``ramp`` is a part of the length."""
    rise = what.pop("ramp", 0.0)

    def parts(begin: datetime, length: timedelta) -> list[dict[str, Any]]:
        ramp = {"ramp": f"{length * rise // _MS}ms"} if rise else {}
        return [{"from": begin, "until": begin + length} | ramp | what]

    return parts


def _bouts(**what: Any) -> Callable[[datetime, timedelta], list[dict[str, Any]]]:
    """Return the same thing several times, with a pause as long as each bout."""

    def parts(begin: datetime, length: timedelta) -> list[dict[str, Any]]:
        bout = length / (2 * _BOUTS - 1)
        starts = [begin + 2 * i * bout for i in range(_BOUTS)]
        ends = [*(start + bout for start in starts[:-1]), begin + length]
        return [{"from": start, "until": end} | what for start, end in zip(starts, ends, strict=True)]

    return parts


DRILLS = {
    one.name: one
    for one in (
        Drill(
            "slow-ramp",
            "answers take longer and longer, up to five times as long",
            "does a latency limit see a slow rise, and how late",
            _whole(slow=5, ramp=0.6),
        ),
        Drill(
            "silent-tools",
            "half of the tool calls fail, in answers that come in time and look well",
            "does anything look at tools, or at what agents do about it",
            _whole(failing=0.5, override=0.25),
        ),
        Drill(
            "rate-limit-storm",
            "six calls in ten are refused for the rate (429)",
            "do requests go elsewhere at once, and does the backup bear it",
            _whole(rate_limit=0.6),
        ),
        Drill(
            "hang",
            "one call in four hangs until it is cut off",
            "is a call that never ends seen before it ends",
            _whole(hang=0.25),
        ),
        Drill(
            "flapping",
            "four bouts of failures and slow answers, with pauses as long",
            "does traffic go back and forth with every bout",
            _bouts(errors={"503": 0.4}, slow=3),
        ),
        Drill(
            "half-region",
            "every other call fails with 503, as if one of two regions were down",
            "is half a failure enough to act",
            _whole(errors={"503": 0.5}),
        ),
        Drill(
            "quality-drop",
            "answers come in time, work, and are worse: agents redo four in ten more",
            "does anybody learn of it before the customers do",
            _whole(override=0.4),
        ),
    )
}


def drill(name: str) -> Drill:
    """Return the standard degradation of a name.

    Raises
    ------
    InvalidScenario
        There is none; the names that there are are listed.
    """
    if name not in DRILLS:
        raise InvalidScenario(
            f"there is no standard degradation {name!r}{did_you_mean(name, DRILLS)}; there are {', '.join(DRILLS)}"
        )
    return DRILLS[name]
