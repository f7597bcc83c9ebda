from __future__ import annotations

import numpy as np
import pytest
from worlds_of_calls import observed
from written import Call, Request, fill

from incident_kit.errors import NoSuchItem
from incident_kit.estimation.observations import OUTCOMES, SLOW, Observations, observe
from incident_kit.incident import Incident


def seen(*requests: Request, cap_ms: float | None = None) -> Observations:
    incident = Incident.create()
    fill(incident.store, list(requests))
    return observe(incident.log, cap_ms=cap_ms)


def test_every_call_is_one_and_a_cache_hit_is_none() -> None:
    it = seen(
        Request("a", 0, [Call("main", 900, "503"), Call("backup", 400)]),
        Request("b", 1000, [Call("main", 5, kind="cache_hit")]),
        Request("c", 2000, [Call("main", 700)]),
    )
    assert sorted(zip(it.target.tolist(), it.latency_ms.tolist(), strict=True)) == [(0, 400), (1, 700), (1, 900)]
    assert it.values["error"][np.argsort(it.latency_ms)].tolist() == [0, 0, 1]
    assert set(OUTCOMES) == set(it.values)
    assert (it.targets, it.intents) == (2, 1)
    assert (it.values["latency"] * it.cap_ms).tolist() == pytest.approx(it.latency_ms.tolist())
    assert it.cap_ms == 60_000
    assert (it.ticket == -1).all()


def test_tool_failure_is_of_answers_that_called_tools() -> None:
    it = seen(
        Request("a", 0, [Call("main", 900, tool_calls=2, tool_errors=1)]),
        Request("b", 1, [Call("main", 901, tool_calls=0, tool_errors=0)]),
        Request("c", 2, [Call("main", 902, tool_calls=3)]),
        Request("d", 3, [Call("main", 903)]),
    )
    value = it.values["tool_failure"]
    assert value[0] == 0.5
    assert np.isnan(value[1:]).all()


def test_a_timeout_is_at_least_its_latency_and_makes_the_cap() -> None:
    it = seen(Request("a", 0, [Call("main", 8000, "timeout")]), Request("b", 1, [Call("main", 2000)]))
    assert it.is_censored.tolist() == [True, False]
    assert it.cap_ms == 8000
    assert it.values["latency"].tolist() == [1, 0.25]


def test_a_call_cut_early_counts_as_its_like_that_lasted() -> None:
    """Cut at 1 s, of a target whose calls beyond 1 s took 2, 4 and 6 s."""
    calls = [(500, False), (2000, False), (4000, False), (6000, False), (1000, True)]
    it = seen(
        *(Request(f"r{i}", i, [Call("main", ms, "timeout" if cut else None)]) for i, (ms, cut) in enumerate(calls)),
        cap_ms=5000,
    )
    assert it.values["latency"][4] * 5000 == pytest.approx((2000 + 4000 + 5000) / 3)


def test_overrides_are_of_reviewed_answers() -> None:
    it = seen(
        Request("a", 0, [Call("main", 900)], overridden=True),
        Request("b", 1, [Call("main", 901)], overridden=False),
        Request("c", 2, [Call("main", 902)]),
        Request("d", 3, [Call("main", 903, "503")], overridden=True),
    )
    assert it.values["override"][:2].tolist() == [1, 0]
    assert np.isnan(it.values["override"][2:]).all()
    assert "override" not in it.weights


def test_where_only_overrides_are_logged_answers_count_by_what_is_in() -> None:
    requests = [
        Request(f"r{i}", i * 1000, [Call("main", 500)], overridden=True if i % 4 == 0 else None) for i in range(80)
    ]
    it = seen(*requests)
    assert np.nanmean(it.values["override"]) == 0.25
    assert it.weights["override"].max() == 1


def test_slow_is_over_the_limit() -> None:
    it = observed([0] * 4, range(4), latency_ms=[250, 251, 9000, 100])
    assert it.value("slow_250").tolist() == [0, 1, 1, 0]
    assert it.value("slow_8000").tolist() == [0, 0, 1, 0]
    assert len(SLOW) == 8


def test_whether_a_cut_call_would_have_been_slow_is_a_share() -> None:
    """Cut at 1 s; of the three calls of its target that lasted longer, two took over 4 s."""
    it = observed([0] * 5, range(5), latency_ms=[500, 2000, 5000, 9000, 1000], is_censored=[False] * 4 + [True])
    assert it.value("slow_4000")[4] == pytest.approx(2 / 3)
    assert it.value("slow_500")[4] == 1


def test_an_unknown_outcome_is_told_what_there_is() -> None:
    with pytest.raises(NoSuchItem, match="did you mean 'latency'"):
        observed([0], [0]).value("latancy")


def test_tools_that_were_taken_away() -> None:
    incident = Incident.create()
    fill(
        incident.store,
        [
            Request("a", 0, [Call("main", 900)], tools_offered=3),
            Request("b", 1, [Call("main", 901)]),
            Request("c", 2, [Call("main", 902)], tools_offered=3),
        ],
    )
    incident.store.run("update attempts set tools_offered = case request_id when 'c' then 0 when 'a' then 3 end")
    assert observe(incident.log).without_tools.tolist() == [False, False, True]
