"""Lots: what a hash of a request's id decides: which call it borrows, whether it probes, which weighted target it tries.

A pack's ids are not the log's: it holds the hashes themselves, so that a replay on it comes to the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property

if TYPE_CHECKING:
    from incident_kit.log import Log

BORROW, PROBE, TARGET = "borrow", "probe", "target:"
Words = NDArray[np.uint64]
_WHOLE = 2.0**64


def word(*name: str) -> int:
    """Return 64 bits of a hash of a request's id, or of its id and a target."""
    return int.from_bytes(blake2b("\0".join(name).encode(), digest_size=8).digest(), "big")


def draw(request_id: str) -> float:
    """Return a number in [0, 1) for a request, a hash of its id: the same in any order, on any machine."""
    return word(request_id) / _WHOLE


def order(request_id: str, weights: Sequence[tuple[str, float]]) -> list[int]:
    """Return the positions of weighted targets in the order in which a request tries them (S22).

    Examples
    --------
    >>> order("req-2", [("big", 90), ("small", 10)])
    [0, 1]
    """
    return _ranked([word(request_id, target) for target, _ in weights], [weight for _, weight in weights])


def _ranked(words: Sequence[int], weights: Sequence[float]) -> list[int]:
    keys = []
    for one, weight in zip(words, weights, strict=True):
        u = (one + 0.5) / _WHOLE
        keys.append(-weight / math.log(u) if u < 1 else math.inf)
    return sorted(range(len(keys)), key=lambda i: -keys[i])


class Lots:
    """The lots of a log's requests, each worked out once; ``kept`` are words that a pack brought, by what they decide."""

    def __init__(self, log: Log, kept: Mapping[str, Words]) -> None:
        self.log, self.kept = log, kept
        self._words: dict[str, list[int]] = {}
        self._orders: dict[tuple[tuple[str, float], ...], NDArray[np.int8]] = {}

    @classmethod
    def of(cls, log: Log) -> Lots:
        """Return the lots of a log."""
        rows = log.store.query("replay_lots")
        kept = {}
        for (what,), part in rows.group_by("what", maintain_order=True):
            by_id = log.request_id.to_frame("request_id").join(part, on="request_id", how="left", maintain_order="left")
            if not by_id["word"].null_count():  # a request without one: nothing was kept of it
                kept[str(what)] = by_id["word"].to_numpy()
        return cls(log, kept)

    @cached_property
    def borrow(self) -> Words:
        """What decides which call a request borrows."""
        from incident_kit.estimation import borrowing

        return self.kept[BORROW] if BORROW in self.kept else borrowing.keys(self.log.request_id)

    @cached_property
    def probe(self) -> NDArray[np.float64]:
        """A number in [0, 1) a request: below a breaker's share it may probe."""
        return np.array([one / _WHOLE for one in self.words(PROBE)])

    def order(self, weights: Sequence[tuple[str, float]]) -> NDArray[np.int8]:
        """Return ``[request, rank]``: the positions of weighted targets in the order in which each request tries them."""
        said = tuple(weights)
        if said not in self._orders:
            words = [self.words(TARGET + target, target) for target, _ in said]
            ranks = [_ranked(row, [weight for _, weight in said]) for row in zip(*words, strict=True)]
            self._orders[said] = np.array(ranks, np.int8).reshape(-1, len(said))
        return self._orders[said]

    def words(self, what: str, *name: str) -> list[int]:
        """Return the hash of each request's id, and of more, that decides something."""
        if what not in self._words:
            kept = self.kept.get(what)
            self._words[what] = [word(one, *name) for one in self.log.request_id] if kept is None else kept.tolist()
        return self._words[what]
