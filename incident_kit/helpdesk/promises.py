"""Promises: the times that a help desk promised: how many were missed, and how many would have been under other rules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import polars as pl

from incident_kit.helpdesk.consequences import HANDLING, WAITS, Consequences, consequences
from incident_kit.scoring.series import missed_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from incident_kit.incident import Incident
    from incident_kit.scoring.scorecard import Board

DRAWS = 20  # of a board's: each judges every clock, and counts need fewer than rates by intent do
MISSED = "Promised times missed"


def missed(incident: Incident) -> tuple[str, int, int, float | None] | None:
    """Return how many targets that fell due in the impact were missed: label, count, out of, the same in a normal time.

    None without an impact, or where no clock is loaded.
    """
    clocks = incident.clock.instances
    impacts = [phase for phase in incident.phases if phase.kind == "impact"]
    if clocks.is_empty() or not impacts:
        return None
    late = missed_at()
    due = clocks.select(pl.coalesce(late, "due_at").alias("at"), late.is_not_null().alias("missed")).drop_nulls("at")
    start, end = incident.span("impact")
    inside = pl.col("at").is_between(start, end, closed="left")
    others = [
        pl.col("at").is_between(one.at, one.until, closed="left") for one in impacts if one.until and one.at != start
    ]
    during, normal = due.filter(inside), due.filter(~pl.any_horizontal(inside, *others))
    if during.is_empty():
        return None
    usual = float(normal["missed"].mean()) * during.height if normal.height else None  # type: ignore[arg-type]
    return MISSED, int(during["missed"].sum()), during.height, usual


def kept(board: Board, names: Sequence[str], *, draws: int = DRAWS) -> Consequences | None:
    """Return what some policies of a board would have done to promised times; None where no clock is loaded."""
    if board.incident.clock.instances.is_empty() or not names:
        return None
    found = consequences(replace(board, replays={name: board.replays[name] for name in names}), draws=draws)
    return found if len(found.waits) else None


def moved(found: Consequences | None, policy: str) -> tuple[float, float, int] | None:
    """Return between how many more promised times a policy would have missed, and out of how many; None: nothing is known.

    From all that it may have avoided less what it surely caused, to all that it may have caused less what it surely avoided.
    """
    if found is None:
        return None
    rows = {row["assuming"]: row for row in found.table.filter(policy=policy).iter_rows(named=True)}
    row = rows.get(HANDLING, rows.get(WAITS))
    if row is None or not row["clocks"]:
        return None
    # what the logs do not settle may fall either way
    open_ = row["undetermined"]
    most_kept = max(row["avoided_high"], row["avoided"]) + open_
    return row["caused_low"] - most_kept, row["caused_high"] + open_ - row["avoided_low"], row["clocks"]
