from __future__ import annotations

import numpy as np
import pytest
from worlds_of_calls import MINUTE, observed

from incident_kit.estimation.cells import (
    ELSEWHERE,
    GROUPS,
    GUESS,
    LABELS,
    NONE,
    SAME_CELL,
    SAME_INTENT,
    SAME_TIME,
    Cells,
)

SPAN = [(100 * MINUTE, 140 * MINUTE)]


def test_labels_are_those_of_the_table() -> None:
    """Target 0: intent 0 throughout but in the middle, where 5 calls of intent 1 are; target 1: four calls, too few."""
    minute = [*range(100), *range(150, 250), *([120] * 5), 10, 20, 30, 40]
    target = [0] * 205 + [1] * 4
    intent = [0] * 200 + [1] * 5 + [0] * 4
    cells = Cells.of(observed(target, minute, intent=intent), incident=SPAN, switches=[])
    there, elsewhere = cells.bin_of(120 * MINUTE), cells.bin_of(105 * MINUTE)
    labels = cells.labels()
    assert labels[0, 1, there] == SAME_CELL
    assert labels[0, 0, there] == SAME_TIME  # five calls of the other intent
    assert labels[0, 0, elsewhere] == SAME_INTENT
    assert labels[0, 1, elsewhere] == SAME_INTENT
    assert labels[0, 2, elsewhere] == NONE  # nobody asked without an intent
    assert labels[1, 1, there] == NONE
    assert labels[1, 0, there] == NONE  # four calls are not five
    assert labels[1, 0, cells.bin_of(10 * MINUTE)] == SAME_CELL
    assert LABELS[SAME_CELL] == "same_cell"


def test_four_other_intents_calls_are_no_same_time() -> None:
    cells = Cells.of(observed([0] * 4, [50] * 4, intent=[1] * 4, intents=2))
    assert cells.labels()[0, 0, cells.bin_of(50 * MINUTE)] == NONE


def test_calls_with_other_tools_are_one_label_weaker() -> None:
    minute = np.arange(200)
    cells = Cells.of(observed([0] * 200, minute, intent=[0, 1] * 100, without_tools=False), incident=SPAN)
    given, bare = cells.labels(), cells.labels(without_tools=True)
    assert (given[0, :2] == SAME_CELL).all()
    assert (bare[0, :2] == SAME_TIME).all()
    assert cells.tools_differ(without_tools=True)[0, :2].all()
    assert not cells.tools_differ()[0, :2].any()
    assert cells.label([0, 0], [0, 0], [3, 3], without_tools=[False, True]).tolist() == [SAME_CELL, SAME_TIME]


def test_own_tools_win_over_weaker_ones() -> None:
    bare = np.arange(200) >= 100
    cells = Cells.of(observed([0] * 200, np.arange(200), without_tools=bare))
    late = cells.bin_of(150 * MINUTE)
    assert cells.labels(without_tools=True)[0, 0, late] == SAME_CELL
    assert not cells.tools_differ(without_tools=True)[0, 0, late]
    assert cells.labels()[0, 0, late] == min(SAME_INTENT, SAME_CELL + 1)


def test_labels_of_an_outcome_count_who_tells_of_it() -> None:
    known = np.where(np.arange(200) < 100, 0.0, np.nan)
    cells = Cells.of(observed([0] * 200, np.arange(200), override=known))
    late = cells.bin_of(180 * MINUTE)
    assert cells.labels()[0, 0, late] == SAME_CELL
    assert cells.labels(outcome="override")[0, 0, late] == SAME_INTENT


def test_no_intent_is_the_last_and_minus_one_finds_it() -> None:
    cells = Cells.of(observed([0] * 20, np.arange(20), intent=[-1] * 20, intents=3))
    n = cells.n()
    assert n.shape[1] == 4
    assert n[0, -1].sum() == 20
    assert cells.label([0], [-1], [0]).tolist() == [SAME_CELL]


def test_counts_add_up_and_know_what_is_missing() -> None:
    tool = np.array([1, 0, 0.5, np.nan] * 50)
    cells = Cells.of(observed([0, 1] * 100, np.arange(200), intent=[0, 0, 1, 1] * 50, tool_failure=tool))
    counts = cells.counts("tool_failure")
    assert counts.n.sum() == 150
    assert counts.k.sum() == pytest.approx(75)
    assert counts.squares.sum() == pytest.approx(50 + 12.5)
    assert (counts.deff == 1).all()


def test_calls_of_one_ticket_tell_less() -> None:
    rng = np.random.default_rng(2)
    ticket = np.repeat(np.arange(300), 4)
    same = np.repeat(rng.random(300) < 0.3, 4).astype(float)
    alone = (rng.random(1200) < 0.3).astype(float)
    minute = np.repeat(rng.uniform(0, 300, 300), 4)
    cells = Cells.of(observed([0] * 1200, minute, ticket=ticket, error=same, override=alone))
    seen = cells.n() > 0
    assert cells.counts("error").deff[seen].mean() == pytest.approx(4, rel=0.1)
    assert cells.counts("override").deff[seen].mean() < 1.2


def test_delayed_feedback_counts_by_what_is_in() -> None:
    cells = Cells.of(observed([0] * 4, [1, 2, 3, 4], override=[1, 0, 0, 0], weights={"override": [1, 1, 0.5, 0.25]}))
    counts = cells.counts("override")
    assert counts.n.sum() == 2.75
    assert counts.k.sum() == 1


def test_the_degraded_target_is_found() -> None:
    """Target 0 is worse inside, 1 is as ever, 2 is the usual one of a quarter and unseen inside, 3 was rare before too."""
    rng = np.random.default_rng(0)
    minute = rng.uniform(0, 240, 8000)
    inside = (minute >= 100) & (minute < 140)
    target = rng.choice(4, 8000, p=[0.45, 0.27, 0.25, 0.03])
    target[inside & (target >= 2)] = 1
    slow = np.where(inside & (target == 0), 9000, 1000) * np.exp(0.3 * rng.standard_normal(8000))
    cells = Cells.of(observed(target, minute, latency_ms=slow), incident=SPAN)
    assert cells.suspects[:, 0].tolist() == [True, False, True, False]
    assert cells.is_degraded[0, cells.bin_of(120 * MINUTE)]
    assert not cells.is_degraded[0, cells.bin_of(20 * MINUTE)]
    assert not cells.is_degraded[1].any()
    named = Cells.of(observed(target, minute, latency_ms=slow), incident=SPAN, suspects=[1])
    assert named.suspects[:, 0].tolist() == [False, True, False, False]
    assert cells.shown[:, 0].tolist() == [1, 0, ELSEWHERE, 0]
    assert named.shown[:, 0].tolist() == [0, 1, 0, 0]


def test_what_another_span_explains_shows_nothing() -> None:
    """Target 0 is worse in the first span, which reaches into the second; in the rest of that it is not seen at all."""
    rng = np.random.default_rng(0)
    minute = rng.uniform(0, 240, 8000)
    target = (minute > 130) & (minute < 170)
    slow = np.where((minute >= 100) & (minute < 130), 9000, 1000) * np.exp(0.3 * rng.standard_normal(8000))
    spans = [(100 * MINUTE, 132 * MINUTE), (118 * MINUTE, 170 * MINUTE)]
    cells = Cells.of(observed(target.astype(int), minute, latency_ms=slow), incident=spans)
    assert cells.suspects[0].tolist() == [True, True]
    assert cells.shown[0].tolist() == [1, GUESS]


def test_a_usual_target_seen_in_the_first_minutes_only_stays_suspect() -> None:
    """It may have got worse once nobody looked."""
    minute = np.concatenate([np.arange(0, 110, 0.2), np.arange(140, 240, 0.2)])
    backup = np.arange(110, 140, 0.2)
    target = np.repeat([0, 1], [len(minute), len(backup)])
    cells = Cells.of(observed(target, np.concatenate([minute, backup])), incident=SPAN)
    assert cells.suspects[:, 0].tolist() == [True, False]
    assert cells.is_extrapolated[0, 0, cells.bin_of(130 * MINUTE)]
    assert not cells.is_extrapolated[1].any()


def test_mixing_tells_probes_from_split_traffic() -> None:
    minute = np.arange(100, 140, 0.1)
    probes = np.repeat([0, 1], [len(minute) - 20, 20])
    split = np.arange(len(minute)) % 2
    spans = {"incident": SPAN, "window": (0, 240 * MINUTE)}
    late = Cells.of(observed(probes, minute), **spans)
    even = Cells.of(observed(split, minute), **spans)
    assert late.mixing[1, late.bin_of(139.9 * MINUTE)] > 0.9
    assert even.mixing.max() < 0.1
    assert late.mixing[0, late.bin_of(101 * MINUTE)] == 0  # nobody else was there


def test_rare_intents_share_a_group() -> None:
    rng = np.random.default_rng(1)
    intent = np.minimum(rng.geometric(0.08, 4000) - 1, 59)
    cells = Cells.of(observed([0] * 4000, np.sort(rng.uniform(0, 600, 4000)), intent=intent, intents=60))
    assert cells.groups == GROUPS
    assert cells.shape[1] == 61
    common = np.bincount(intent, minlength=60).argsort()[::-1][: GROUPS - 1]
    assert len({int(cells.group[one]) for one in common}) == GROUPS - 1
    assert (cells.counts("latency").n > 0).sum() <= 1000


def test_rows_in_any_order_give_the_same_cells() -> None:
    rng = np.random.default_rng(4)
    minute, target, intent = rng.uniform(0, 240, 500), rng.integers(0, 2, 500), rng.integers(0, 3, 500)
    order = rng.permutation(500)
    a = Cells.of(observed(target, minute, intent=intent), incident=SPAN)
    b = Cells.of(observed(target[order], minute[order], intent=intent[order]), incident=SPAN)
    assert (a.edges_us == b.edges_us).all()
    assert (a.counts("latency").k == b.counts("latency").k).all()
    assert (a.labels() == b.labels()).all()
    assert (a.mixing == b.mixing).all()


def test_no_calls_are_no_cells() -> None:
    cells = Cells.of(observed([], [], targets=2, intents=1))
    assert (cells.labels() == NONE).all()
    assert cells.n().sum() == 0
