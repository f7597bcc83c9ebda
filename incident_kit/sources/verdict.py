"""The verdict: what the loaded logs can answer, per question, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from incident_kit.sources.formats import QUESTIONS, Format
from incident_kit.sources.report import Answer

if TYPE_CHECKING:
    from incident_kit.store import Store


def record(store: Store, chosen: Format, load_id: int) -> None:
    """Write what one load can answer, from the format's limits and the loaded rows."""


def answers(store: Store, load_ids: Sequence[int] | None = None) -> dict[str, Answer]:
    """Return what the incident's loads can answer."""
    return {}


def unlabelled(store: Store, load_ids: Sequence[int]) -> dict[str, float]:
    """Return the share without each label."""
    return {}
