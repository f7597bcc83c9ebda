"""Pools: which real calls may stand for a cell (target, tools, intent, bin): its own first, then ever less like it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from incident_kit.estimation.cells import Cells

ENOUGH = 50  # donors, before less similar ones are taken
_MOST = 500  # of a cell's own calls; more tell nothing new
_WIDENED = 2 * ENOUGH  # donors of a cell that needed others: its own must still be heard
_LOOKED_AT = 2000  # calls of a wider level, evenly spread, among which donors are sought


@dataclass(frozen=True)
class Pools:
    """Donors of one target: those of cell ``intent * bins + bin`` are ``members[starts[cell]:starts[cell + 1]]``.

    ``members`` are positions in ``log.calls``; the last intent is none.
    """

    members: NDArray[np.int32]
    starts: NDArray[np.int64]

    @classmethod
    def of(cls, cells: Cells, target: int, *, without_tools: bool, wanted: NDArray[np.bool_]) -> Pools:
        """Return the donors of a target's calls with, or without, tools; only cells that are ``wanted`` get any."""
        it = cells.observations
        intents, bins = cells.shape[1:]
        intent = np.where(it.intent < 0, it.intents, it.intent).astype(np.int32)
        of_target = np.flatnonzero(it.target == target)
        like = it.without_tools[of_target] == without_tools
        variants = [
            _Variant(rows, intent[rows], cells.bins[rows], cells.shape[1:])
            for rows in (of_target[like], of_target[~like])
        ]
        found, starts = [], np.zeros(intents * bins + 1, np.int64)
        for cell in np.flatnonzero(wanted):
            taken = _taken(variants, *divmod(int(cell), bins))
            found.append(it.call[np.sort(taken)])
            starts[cell + 1] = len(taken)
        members = np.concatenate(found) if found else np.zeros(0, np.int64)
        return cls(members.astype(np.int32), np.cumsum(starts))


class _Variant:
    """Calls of one target and tools, by intent and by bin."""

    def __init__(
        self, rows: NDArray[np.int64], intent: NDArray[np.int32], bin_: NDArray[np.int32], shape: tuple[int, int]
    ) -> None:
        from incident_kit.estimation import donors

        self.rows, self.intent, self.bin, (intents, self.bins) = rows, intent, bin_, shape
        cell = intent * self.bins + bin_
        self.by_intent, starts = donors.by_code(cell, intents * self.bins)
        order, begins = donors.by_code(bin_[self.by_intent], self.bins)
        self.by_bin, self.of_cells, self.of_bins = self.by_intent[order], starts[1:], begins[1:]
        self.spread = _spread(np.arange(len(rows)), _LOOKED_AT)

    def levels(self, intent: int, bin_: int) -> list[NDArray[np.int64]]:
        """Return the calls of a cell, those of its bin, those of its intent, and all others."""
        starts = self.of_cells[intent * self.bins : (intent + 1) * self.bins + 1]
        others = self.spread[(self.intent[self.spread] != intent) & (self.bin[self.spread] != bin_)]
        same_time = _spread(self.by_bin[self.of_bins[bin_] : self.of_bins[bin_ + 1]], _LOOKED_AT)
        same_intent = _spread(self.by_intent[starts[0] : starts[-1]], _LOOKED_AT)
        return [
            self.rows[self.by_intent[starts[bin_] : starts[bin_ + 1]]],
            self.rows[same_time[self.intent[same_time] != intent]],
            self.rows[same_intent[self.bin[same_intent] != bin_]],
            self.rows[others],
        ]


def _spread(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return at most so many rows, evenly spread."""
    return rows if len(rows) <= most else rows[(np.arange(most) * len(rows)) // most]


def _taken(variants: list[_Variant], intent: int, bin_: int) -> NDArray[np.int64]:
    """Return the donors of one cell, in label order until there are enough; of the other tools only where there are none."""
    for variant in variants:
        if not len(variant.rows):
            continue
        own, *wider = variant.levels(intent, bin_)
        taken = [_spread(own, _MOST)]
        count = len(own)
        for level in wider:
            if count >= ENOUGH:
                break
            taken.append(_spread(level, _WIDENED - count))
            count += len(taken[-1])
        return np.concatenate(taken)
    return np.zeros(0, np.int64)
