"""Signals: any other measure that a user has (CSAT, contacts, a quality score), as rows that ``signal:NAME`` reads.

A row of the table ``signals`` is a share (``numerator``, ``denominator``) or a ``value``, known from ``known_at`` on. It counts
for the routes of its ``intent`` (without one: for all) and for its ``target``; without a target the signal does not depend on
what a policy does. Two rows that are equal are one: give each its ``ticket_id`` or ``request_id``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from incident_kit.errors import UnansweredQuestion, did_you_mean
from incident_kit.words import label

if TYPE_CHECKING:
    from incident_kit.policies.conditions import Condition
    from incident_kit.policies.policy import Policy
    from incident_kit.store import Store


def signal_names(store: Store) -> tuple[str, ...]:
    """Return the names of the signals that are loaded, sorted."""
    return tuple(store.query("signal_names")["name"])


def refuse_unloaded(policy: Policy, names: Iterable[str]) -> None:
    """Refuse a policy that reads a signal which is not among the loaded ``names``: it must never read as healthy.

    A breaker or alert whose ``no_data`` is ``ok`` or ``breach`` says itself what a missing signal means.

    Raises
    ------
    UnansweredQuestion
        With the signals that are there.
    """
    known = sorted(set(names))
    for where, condition in _asked(policy):
        if condition.name not in known:
            there = f"loaded are {', '.join(map(label, known))}" if known else "no signal is loaded"
            raise UnansweredQuestion(
                f"policy {policy.name}, {where}: the condition {condition.text!r} reads the signal {condition.name!r}, which "
                f"is not loaded{did_you_mean(condition.name, known)}; {there}. Load a table with name, known_at and value "
                "(or numerator and denominator), or say with no_data: what its absence means"
            )


def _asked(policy: Policy) -> Iterator[tuple[str, Condition]]:
    """Yield where a policy reads a signal without saying what its absence means."""
    for route in policy.routes:
        for entry in route.chain:
            if entry.breaker and entry.breaker.no_data == "hold":
                where = f"route {route.name}, {entry.label}"
                yield from ((where, leaf) for leaf in entry.breaker.conditions if leaf.kind == "signal")
    for alert in policy.alerts:
        if alert.no_data == "hold":
            yield from ((f"alert {alert.name}", leaf) for leaf in alert.when.leaves if leaf.kind == "signal")
