"""Sensitivities: each value that a policy leaves unsaid, changed, and what that does to the verdict."""

from __future__ import annotations

import polars as pl
import pytest
from written import Call, Request, fill

import incident_kit as ik
from incident_kit import charts
from incident_kit.errors import NoSuchItem
from incident_kit.incident import Incident
from incident_kit.optimization import sensitivities
from incident_kit.optimization.sensitivities import TABLE, sensitivity, verdicts
from incident_kit.store import Store

WHOLE = ik.Policy.parse(
    "routes: [{intent: chat, primary: big, fallback: small, max_p95_ms: 2000, "
    "breaker: {window: 10s, min_requests: 1, half_open: {requests: 1}}}]"
).expand()


def leaving_unsaid(*keys: str) -> ik.Policy:
    """Return the policy, all written out but these lines."""
    lines = [line for line in WHOLE.splitlines() if not line.strip().startswith(tuple(f"{key}:" for key in keys))]
    return ik.Policy.parse("\n".join(lines))


def test_the_cooldown_alone(tiny: Incident) -> None:
    """On paper: r6, r7 at 8 and 10 s go to small under 60 s and 2m, also under 30 s: nothing changes but by the log's end."""
    policy = leaving_unsaid("cooldown")
    table = sensitivity(tiny, policy, metrics=["fallback_rate", "share_no_model"], draws=0)
    assert table.schema == pl.Schema(TABLE)
    assert set(table["path"]) == {"chat.breaker.cooldown"}
    assert set(table["other"]) == {"30s", "2m"}
    assert table.height == 4
    assert not table["would_change"].any()
    assert table["change"].to_list() == [0, 0, 0, 0]
    board = ik.compare(tiny, [policy], metrics=["fallback_rate"], draws=0).table().row(1, named=True)
    row = table.row(by_predicate=(pl.col("metric") == "fallback_rate") & (pl.col("other") == "2m"), named=True)
    assert row["difference"] == pytest.approx(board["estimate"] - board["observed"])
    assert verdicts(table)[0].startswith("The verdict stands: none of 2 other values")


def test_a_value_that_the_verdict_rests_on(store: Store) -> None:
    """Thirty slow answers: twenty are wanted before a switch (implied), with forty there is none."""
    requests = [
        Request(f"r{i:02}", 1000 * i, [Call("big" if i < 30 else "small", 3000)], requested="big") for i in range(33)
    ]
    incident = Incident(fill(store, requests))
    incident.answers = {}
    policy = leaving_unsaid("min_requests").with_value("chat.breaker.window", "5m")
    table = sensitivity(incident, policy, metrics=["fallback_rate"], draws=0)
    found = {row["other"]: row for row in table.iter_rows(named=True)}
    assert table["other"].to_list() == ["40", "10"]
    assert found["10"]["difference"] == found["40"]["difference"] > 0
    assert found["10"]["other_difference"] > found["10"]["difference"]
    assert found["40"]["other_difference"] <= 0
    assert table["would_change"].to_list() == [True, False]
    assert verdicts(table)[0] == "The verdict rests on 1 value that the policy leaves unsaid: write them out."


def test_what_is_refused_is_said(tiny: Incident) -> None:
    table = sensitivity(tiny, leaving_unsaid("no_data"), metrics=["fallback_rate"], draws=0)
    refused = table.filter(pl.col("note") != "")
    assert refused["other"].to_list() == ["breach"]
    assert "every" in refused["note"][0]
    assert refused["would_change"].to_list() == [None]


def test_nothing_unsaid() -> None:
    assert verdicts(pl.DataFrame(schema=TABLE)) == ("The policy leaves nothing unsaid that a replay heeds.",)


@pytest.mark.parametrize(
    ("key", "value", "others"),
    [
        ("cooldown", "60s", ["30s", "2m"]),
        ("window", "100 requests", ["50 requests", "200 requests"]),
        ("window", "1m tumbling", ["30s tumbling", "2m tumbling"]),
        ("min_requests", 20, [10, 40]),
        ("min_requests", 1, [2]),
        ("share", 1, [0.5]),
        ("for", "0s", ["30s"]),
        ("every", "completion", ["30s"]),
        ("attempts", 0, [1]),
        ("scope", "route", ["intent", "target"]),
        ("errors", ["5xx", 429], [[429], ["5xx"]]),
        ("errors", ["5xx"], []),
    ],
)
def test_what_may_stand_instead(key: str, value: object, others: list[object]) -> None:
    assert list(sensitivities._others(key, value)) == others


@pytest.mark.parametrize(
    ("metric", "difference", "interval", "verdict"),
    [
        ("error_rate", -0.1, None, "better"),
        ("error_rate", 0.1, None, "worse"),
        ("tool_success_rate", 0.1, None, "better"),
        ("error_rate", 0.001, None, "no different"),
        ("error_rate", 0.1, (-0.1, 0.2), "no different"),
        ("error_rate", 0.1, (0.05, 0.2), "worse"),
        ("error_rate", None, None, "cannot be told"),
    ],
)
def test_verdicts(metric: str, difference: float | None, interval: tuple[float, float] | None, verdict: str) -> None:
    row = {"metric": metric, "observed": 0.5}
    row |= {"diff_low": interval[0], "diff_high": interval[1]} if interval else {}
    assert sensitivities._verdict(row, difference, 0.01) == verdict


def made(changes: dict[str, bool]) -> pl.DataFrame:
    rows = [
        (f"chat.breaker.{path}", "60s", "2m", "override_rate", 0.2, -0.05, 0.01 * i, 0.05 + 0.01 * i, "better",
         "worse" if moved else "better", moved, "")
        for i, (path, moved) in enumerate(changes.items())
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=TABLE, orient="row")


def test_in_words() -> None:
    said = verdicts(made({"cooldown": False, "window": True}))
    assert said == (
        "The verdict rests on 1 value that the policy leaves unsaid: write them out.",
        "chat.breaker.window 2m in place of 60s: override_rate would be worse, not better.",
    )


def test_drawn() -> None:
    chart = charts.sensitivity(made({"cooldown": False, "window": True}), metric="override_rate").to_dict()
    assert chart["description"] == (
        "Override rate, policy less log: -5 points as the policy stands; chat.breaker.window 2m in place of 60s moves it most, "
        "to +1 points. 1 of 2 changes would change the verdict."
    )
    with pytest.raises(NoSuchItem, match="it has override_rate"):
        charts.sensitivity(made({"cooldown": False}), metric="p95_ms")
    assert "Nothing to draw" in charts.sensitivity(pl.DataFrame(schema=TABLE), metric="p95_ms").to_dict()["description"]
