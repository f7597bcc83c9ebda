"""What a log says of attempts that it does not hold, on requests written by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from written import Call, Request, fill

from incident_kit.estimation.evidence import standing
from incident_kit.estimation.fates import hidden, settle_fates
from incident_kit.estimation.observations import observe
from incident_kit.estimation.outcomerecords import NO_OUTCOME
from incident_kit.incident import Incident

TARGETS = ("big", "small")


def incident(*requests: Request) -> Incident:
    made = Incident.create()
    fill(made.store, requests)
    return made


def settled(made: Incident, *, attempts: int = 2) -> dict[str, Any]:
    """Return by request name ``[entry, attempt number]`` records (error's name and latency), where there is one."""
    log = made.log
    rows = np.arange(len(log))
    _, codes, records, donor = standing(log, rows, TARGETS, attempts=attempts)
    settle_fates(log, rows, TARGETS, codes, records, donor)
    return {
        name: [
            [
                (log.errors[one["error"]], int(one["latency_ms"])) if one["kind"] != NO_OUTCOME else None
                for one in records[entry, :, i]
            ]
            for entry in range(len(TARGETS))
        ]
        for i, name in enumerate(log.request_id)
    }


RETRIED = Request("a", 0, [Call("big", 900, "503"), Call("small", 200, after_ms=3100)], complete=False)


def test_a_pause_before_the_rescue_was_a_retry_that_failed() -> None:
    made = incident(RETRIED)
    unseen = hidden(made.log)
    assert unseen.latency_ms.tolist() == [3100]
    assert made.log.calls.latency_ms[unseen.call].tolist() == [900]
    assert settled(made)["a"] == [[("503", 900), ("503", 3100)], [("ok", 200), None]]
    it = observe(made.log)
    assert sorted(zip(it.values["error"].tolist(), it.latency_ms.tolist(), strict=True)) == [
        (0, 200),
        (1, 900),
        (1, 3100),
    ]


@pytest.mark.parametrize(
    "request_",
    [
        Request("a", 0, [Call("big", 900, "503"), Call("small", 200, after_ms=3100)], complete=True),
        Request("a", 0, [Call("big", 900, "503"), Call("small", 200, after_ms=20)], complete=False),
        Request("a", 0, [Call("big", 900, "503"), Call("big", 200, after_ms=3100)], complete=False),
        Request("a", 0, [Call("big", 900), Call("small", 200, after_ms=3100)], complete=False),
    ],
)
def test_nothing_is_hidden(request_: Request) -> None:
    """All attempts are logged; no time for one; the retry is there; nothing failed."""
    made = incident(request_)
    assert not len(hidden(made.log).call)
    assert len(observe(made.log)) == 2


def test_what_one_target_refuses_for_itself_every_other_one_does() -> None:
    made = incident(Request("a", 0, [Call("big", 70, "content_policy")]), Request("b", 1000, [Call("small", 300)]))
    refused = ("content_policy", 70)
    assert settled(made) == {"a": [[refused] * 2, [refused] * 2], "b": [[None] * 2, [("ok", 300), None]]}


def test_a_request_that_was_lost_was_lost_on_the_fallbacks_of_its_intent() -> None:
    rescued = Request("r", 0, [Call("big", 900, "503"), Call("small", 200)], complete=True)
    lost = Request("x", 1000, [Call("big", 900, "500")], complete=False)
    elsewhere = Request("y", 2000, [Call("big", 900, "500")], intent="other", complete=False)
    told = settled(incident(rescued, lost, elsewhere))
    assert told["x"] == [[("500", 900)] * 2, [("500", 900)] * 2]
    assert told["y"] == [[("500", 900)] * 2, [None] * 2]  # of its intent no other target ever answered
    assert told["r"][1] == [("ok", 200), None]
