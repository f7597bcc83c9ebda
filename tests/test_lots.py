"""What hashes of ids decide: as POLICY.md has it, once a log, or as a pack brought it."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from scattered import scattered

from incident_kit.estimation import borrowing
from incident_kit.lots import PROBE, TARGET, Lots, draw, order, word


def test_words_are_those_of_the_policy_language() -> None:
    """S22: u = blake2b-64(request id, target)."""
    expected = blake2b(b"req-7\0big", digest_size=8).digest()
    assert word("req-7", "big") == int.from_bytes(expected, "big")
    assert draw("req-7") == word("req-7") / 2**64


def test_a_log_draws_by_its_ids() -> None:
    log = scattered(1, requests=50).log
    ids = log.request_id.to_list()
    weights = (("big", 7.0), ("small", 3.0))
    assert log.lots.kept == {}
    assert log.lots.probe.tolist() == [draw(one) for one in ids]
    assert log.lots.order(weights).tolist() == [order(one, weights) for one in ids]
    assert (log.lots.borrow == borrowing.keys(log.request_id)).all()


def test_kept_words_come_before_ids() -> None:
    log = scattered(1, requests=3).log
    kept = {PROBE: np.array([0, 2**63, 2**64 - 1], np.uint64), TARGET + "a": np.array([1, 2**64 - 2, 5], np.uint64)}
    lots = Lots(log, kept | {TARGET + "b": np.array([2**64 - 2, 1, 6], np.uint64)})
    assert lots.probe.tolist() == [0.0, 0.5, 1.0]
    assert lots.order((("a", 1.0), ("b", 1.0))).tolist()[:2] == [[1, 0], [0, 1]]


def test_words_that_a_store_keeps_for_some_requests_only_are_not_used() -> None:
    incident = scattered(1, requests=3)
    name = incident.log.request_id[0]
    incident.store.run("insert into lots values ($name, 'probe', 7)", {"name": name})
    assert Lots.of(incident.log).kept == {}
