"""Findings: on incidents whose trouble is known, on days with none, and what each says."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from healthy_days import Day, day

import incident_kit as ik
from incident_kit.errors import NoSuchItem
from incident_kit.incident import Incident
from incident_kit.inspection.battery import Findings, findings
from incident_kit.inspection.checks import CHECKS
from incident_kit.stats.shares import Share
from incident_kit.stats.trials import Trial, apart, named, together

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def capture(sample: Incident) -> Findings:
    return findings(sample)


def test_every_check_says_something_and_the_interesting_ones_come_first(capture: Findings) -> None:
    assert {one.check for one in capture} == set(CHECKS)
    assert len(capture) == len(CHECKS)
    flags = [one.interesting for one in capture]
    assert flags == sorted(flags, reverse=True)
    assert all(one.sentence.endswith(".") for one in capture)
    assert capture.rows["check"].to_list() == [one.check for one in capture]


def test_a_capture_with_one_brown_out(capture: Findings) -> None:
    """The primary is slow, and its deployments cool down; tools and backups are fine; nobody logs overrides."""
    found = {one.check for one in capture.interesting}
    assert {"refusals", "slow answers", "one place", "retry storm", "missing signals"} <= found
    assert capture["one place"].sentence.startswith("only target primary_chat_model: ")
    assert "cannot tell overrides and sla" in capture["missing signals"].sentence
    assert "silent tools" not in found
    assert "cannot be looked at" in capture["override spike"].sentence
    assert capture["override spike"].trial is None


def test_counts_are_those_of_the_impact_table(sample: Incident, capture: Findings) -> None:
    label, count, of, usual = next(row for row in sample.impact() if row[0].startswith("Waits over"))
    trial = capture["slow answers"].trial
    assert trial is not None, label
    assert (trial.share.count, trial.share.of) == (count, of)
    assert trial.share.usual * trial.share.of == pytest.approx(usual)


def test_evidence_is_the_requests_that_are_counted(sample: Incident, capture: Findings) -> None:
    rows = capture.evidence("slow answers")
    begin, end = sample.span("impact")
    wanted = sample.requests().filter(
        pl.col("wait_ms") > sample.slow_ms, pl.col("arrived_at") >= begin, pl.col("arrived_at") < end
    )
    assert rows.height == wanted.height == capture["slow answers"].trial.share.count  # type: ignore[union-attr]
    assert set(rows["request_id"]) == set(wanted["request_id"])
    assert capture.evidence("override spike").is_empty()


def test_an_unknown_check(capture: Findings) -> None:
    with pytest.raises(NoSuchItem, match="did you mean 'refusals'"):
        capture["refusal"]


def test_without_an_impact_there_are_none() -> None:
    found = findings(Incident.create())
    assert (len(found), found.rows.height) == (0, 0)
    assert "annotate('impact'" in str(found)
    with pytest.raises(NoSuchItem, match="no phase 'impact'"):
        findings(Incident.create(), "impact")


def test_a_span_of_ones_own(sample: Incident) -> None:
    begin, end = sample.span("impact")
    found = ik.findings(sample, (begin, begin + (end - begin) / 2))
    assert found.look[0][1] - found.look[0][0] == (end - begin) / timedelta(microseconds=2)
    with pytest.raises(NoSuchItem, match="did you mean 'impact'"):
        ik.findings(sample, "imapct")


def impact_of(rows: list[dict[str, object]], folder: Path) -> Incident:
    """Return an incident of these requests, one a second, with an impact from the 400th to the 700th."""
    full = [
        {"request_id": f"r{i}", "arrived_at": (START + timedelta(seconds=i)).isoformat()} | row for i, row in enumerate(rows)
    ]  # fmt: skip
    file = folder / "requests.ndjson"
    file.write_text("\n".join(map(json.dumps, full)), encoding="utf-8")
    incident = Incident.create()
    incident.load(file, source="canonical")
    incident.annotate("impact", START + timedelta(seconds=400), START + timedelta(seconds=700))
    return incident


def test_a_log_that_holds_nothing_is_not_called_healthy(tmp_path: Path) -> None:
    found = findings(impact_of([{} for _ in range(1200)], tmp_path))
    assert [one.check for one in found.interesting] == ["missing signals"]
    assert "cannot tell waits, errors" in found["missing signals"].sentence
    rest = str(found).split("These logs cannot tell:")[1]
    assert {one.title for one in found if not one.interesting} <= {
        line.strip().split(":")[0] for line in rest.splitlines()
    }


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    nasty = "</script>\u202e\x1b[2J"
    rows = [
        {"wait_ms": 5000 if 400 <= i < 700 else 100, "status": "ok", "intent": nasty if i % 2 else "b"}
        for i in range(1200)
    ]
    text = str(findings(impact_of(rows, tmp_path)))
    assert "300 of 300 requests took over 3.5 s, usually none of as many" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


TROUBLES = {
    "override spike": {"overridden": 0.35},
    "slow answers": {"slow": 0.1},
    "no answer": {"failed": 0.08},
    "silent tools": {"tool": 0.3},
    "refusals": {"refused": 0.1},
    "retry storm": {"resent": 0.1},
    "breach cluster": {"late": 0.25},
}


@pytest.fixture(scope="module")
def healthy() -> Day:
    return day(np.random.default_rng(7), rate=15)


@pytest.mark.parametrize("check", TROUBLES)
def test_each_check_finds_its_own_trouble(check: str) -> None:
    bad = {"from": 120, "until": 200, **TROUBLES[check]}
    found = day(np.random.default_rng(3), rate=15, trouble=bad).look(120, 200)
    others = {one.check for one in found.interesting} - {"one intent", "one place", check}
    assert found[check].interesting, found[check].sentence
    assert not others, "what is as usual is not interesting"
    row = found.rows.filter(check=check).row(0, named=True)
    assert row["low"] > 0
    assert row["by_chance"] < 0.05


def test_a_backup_that_is_worse_is_told_from_the_primary() -> None:
    trouble = {"from": 120, "until": 200, "fallback": 0.6, "tool": 0.3, "overridden": 0.4}
    found = day(np.random.default_rng(5), rate=15, trouble=trouble).look(120, 200)["backup"]
    assert found.interesting
    assert "answers of the backup were overridden" in found.sentence
    assert "answers of the backup had a failed tool call" in found.sentence


def test_a_day_without_trouble(healthy: Day) -> None:
    found = healthy.look(120, 200)
    assert found.interesting == ()
    assert "nothing out of the usual" in str(found)
    assert found["backup"].sentence.startswith("cannot be looked at") or not found["backup"].interesting


def test_days_without_trouble_show_findings_one_time_in_twenty_at_most() -> None:
    """Every share swings by a tenth over each day; of 25 days one or two may show something, more than 3 are too many."""
    shown = 0
    for seed in range(100, 125):
        rng = np.random.default_rng(seed)
        begin = int(rng.integers(40, 200))
        shown += bool(day(rng, rate=12, drift=0.1).look(begin, begin + int(rng.integers(40, 160))).interesting)
    assert shown <= 3


def test_sure_but_small_is_not_large() -> None:
    assert not Trial("", Share(11_000, 100_000, 100_000, 1_000_000)).is_large, "a tenth more"
    assert not Trial("", Share(4, 100, 0, 100_000)).is_large, "four"
    assert Trial("", Share(400, 1000, 100, 1000)).is_large
    assert not Trial("", Share(100, 1000, 400, 1000)).is_large, "less is no trouble"
    assert Trial("", Share(100, 1000, 400, 1000), "both").is_large


def test_how_far_a_group_stands_out_from_another() -> None:
    up, calm = Trial("a", Share(300, 1000, 100, 1000)), Trial("b", Share(100, 1000, 100, 1000))
    assert apart(up, calm) > 5
    assert apart(up, up) == 0
    assert apart(up, Trial("c", Share(0, 0, 1, 2))) == 0


def test_groups_together_add_up() -> None:
    one = Trial("a", Share(3, 10, 1, 100, 1.0, 2.0), "more", np.array([4, 9]))
    both = together([one, Trial("b", Share(5, 20, 2, 50, 4.0, 1.0), "more", np.array([1]))])
    assert both.share == Share(8, 30, 3, 150, 4.0, 2.0)
    assert list(both.rows) == [1, 4, 9]
    assert both.group == "a and b"
    assert together([one]) is one


def test_one_deployment_is_named_rather_than_its_whole_provider() -> None:
    """Half of a provider's calls fail, all of them on one of its two deployments; another provider is as usual."""
    rng = np.random.default_rng(2)
    n = 12_000
    at_us = np.sort(rng.integers(0, 360 * 60_000_000, n))
    names = pl.Series("deployment", rng.choice(["a-1", "a-2", "b-1"], n))
    bad = (at_us >= 120 * 60_000_000) & (at_us < 180 * 60_000_000) & (names == "a-1").to_numpy()
    ids = pl.Series([f"r{i}" for i in range(n)])
    provider = pl.Series("provider", [name[0] for name in names])
    calls = pl.DataFrame({"request_id": ids, "at_us": at_us, "target": provider, "deployment": names, "provider": provider,
                          "latency_ms": rng.integers(100, 2000, n), "failed": bad & (rng.random(n) < 0.9)})  # fmt: skip
    healthy_day = day(rng, rate=12)
    found = Day(healthy_day.facets, calls, healthy_day.clocks).look(120, 180)["one place"]
    assert found.interesting
    assert found.sentence.startswith("only deployment a-1: ")
    assert set(found.request_ids) <= set(ids.filter(names == "a-1"))


def test_names_in_a_list() -> None:
    assert named(["a"]) == "a"
    assert named(["a", "b"]) == "a and b"
    assert named(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert "\x1b" not in named(["\x1b[2J"])
