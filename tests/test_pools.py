"""Donors of a cell: its own calls first, then others in the order of the evidence labels."""

from __future__ import annotations

import numpy as np
from written import Call, Request, fill

from incident_kit.estimation.model import Model
from incident_kit.estimation.pools import ENOUGH, Pools
from incident_kit.log import read
from incident_kit.store import Store


def test_a_cell_with_enough_calls_lends_only_its_own(store: Store) -> None:
    written = [
        Request(f"r{i}", 1000 * i, [Call("big" if i % 3 else "small", 100 + i)], intent=("chat", "mail")[i % 2])
        for i in range(900)
    ]
    of = Model(read(fill(store, written)), is_fitted=False)
    it, cells = of.observations, of.cells
    intents, bins = cells.shape[1:]
    big = of.log.targets.index("big")
    pools = Pools.of(cells, big, without_tools=False, wanted=np.ones(intents * bins, np.bool_))
    at = {int(call): i for i, call in enumerate(it.call)}
    widened = 0
    for cell in range(intents * bins):
        donors = pools.members[pools.starts[cell] : pools.starts[cell + 1]]
        rows = np.array([at[int(call)] for call in donors])
        own = (it.target == big) & (it.intent == cell // bins) & (cells.bins == cell % bins)
        assert (it.target[rows] == big).all()
        assert len(np.unique(rows)) == len(rows)
        if own.sum() >= ENOUGH:
            assert own[rows].all()
        else:
            assert len(rows) >= ENOUGH
            assert own[rows].sum() == own.sum()
            widened += 1
    assert widened
