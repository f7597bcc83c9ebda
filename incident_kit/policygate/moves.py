"""Moves: which requests another model answers than under what is in force, and one of each kind explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from incident_kit.words import number

if TYPE_CHECKING:
    from incident_kit.policygate.checking import Check

MOST = 3
NO_MODEL = "no model"


@dataclass(frozen=True)
class Move:
    """Requests of one route that go from one model to another: how many, and why one of them does, in sentences."""

    route: str | None
    before: str
    now: str
    requests: int
    example: str


@dataclass(frozen=True)
class Moves:
    """How many of an incident's requests another model answers, and the largest kinds."""

    moved: int
    requests: int
    kinds: tuple[Move, ...]

    def said(self, name: str) -> str:
        """Return the count in a sentence; ``name`` is what is in force."""
        if not self.moved:
            return "None: every request is answered by the same model as before."
        share = number(self.moved / self.requests, "%")
        return (
            f"{self.moved:,} of {self.requests:,} requests ({share}) are answered by another model than under {name}."
        )


def moves(check: Check, *, most: int = MOST) -> Moves:
    """Return what a check's policy moves, the largest kinds first."""
    names = ("target", "served")
    before = check.beside.decisions.select(pl.col(*names).cast(pl.String).name.prefix("before_"))
    now = check.replay.decisions.select("request_id", pl.col("route", *names).cast(pl.String))
    both = pl.concat([now, before], how="horizontal")
    moved = both.filter(pl.col("served").ne_missing(pl.col("before_served")))
    moved = moved.sort(pl.col("target").eq_missing(pl.col("before_target")), maintain_order=True)  # the clearest first
    kinds = ["route", "before_served", "served"]
    counts = moved.group_by(kinds, maintain_order=True).agg(pl.len().alias("count"), pl.col("request_id").first())
    top = counts.sort("count", descending=True, maintain_order=True).head(most)
    found = (
        Move(route, before or NO_MODEL, after or NO_MODEL, count, check.replay.explain(request_id))
        for route, before, after, count, request_id in top.iter_rows()
    )
    return Moves(moved.height, both.height, tuple(found))
