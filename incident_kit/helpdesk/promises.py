"""Promises: the times that a help desk promised: how many were missed, and how many would have been under other rules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from incident_kit.helpdesk.consequences import HANDLING, WAITS, Consequences, consequences
from incident_kit.scoring.series import missed_at
from incident_kit.scoring.windows import window_of
from incident_kit.stats.trials import Rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from incident_kit.incident import Incident
    from incident_kit.scoring.scorecard import Board

CHANCE = 0.05  # that usual time gives as many
DRAWS = 20  # of a board's: each judges every clock, and counts need fewer than rates by intent do
MISSED = "Promised times missed"


def missed(incident: Incident) -> tuple[str, int, int, float | None, bool] | None:
    """Return how many targets that fell due in the impact were missed: label, count, out of, usual count, if worse.

    Usual are as many targets of the same kinds and lengths that fell due in the log outside of impacts; worse is what these
    show by chance less than once in twenty, and that matters (as in the findings). None without an impact, or where no clock
    is loaded.
    """
    clocks = incident.clock.instances
    impacts = [phase for phase in incident.phases if phase.kind == "impact"]
    if clocks.is_empty() or not impacts:
        return None
    late = missed_at()
    due = clocks.select(
        "ticket_id", "metric", "target_s", pl.coalesce(late, "due_at").dt.epoch("us").alias("at"),
        late.is_not_null().alias("missed"),
    ).drop_nulls("at").sort("at", "ticket_id", "metric")  # fmt: skip
    look = window_of(incident, "impact").times
    rows = Rows.of(due["at"].to_numpy(), due["ticket_id"], look=look, usual=window_of(incident, "healthy").times)
    during = due.filter(pl.Series(rows.chosen))
    if during.is_empty():
        return None
    everything = np.ones(due.height, np.bool_)
    alike = due.select(
        pl.concat_str("metric", pl.col("target_s").cast(pl.String), separator=" ", ignore_nulls=True)
    ).to_series()
    trial = rows.matched(due["missed"], alike, everything, everything, side="more")
    # what has too few of its kind outside of the impact is not held against anything
    usual = (
        None if trial.share.usual is None or trial.share.of < 0.9 * during.height else trial.share.usual * during.height
    )
    return MISSED, int(during["missed"].sum()), during.height, usual, trial.by_chance < CHANCE and trial.is_large


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
