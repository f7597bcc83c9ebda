"""A target is what its deployments are, in the mix of healthy times, whoever of them was left in the incident."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from worlds_of_calls import MINUTE, observed

from incident_kit.estimation.cells import Cells
from incident_kit.estimation.deployments import Parts

SPAN = [(100 * MINUTE, 140 * MINUTE)]
MINUTES = np.arange(0, 240, 0.1)
INSIDE = (MINUTES >= 100) & (MINUTES < 140)


def cells(*, leaves: bool = True, parted: bool = True, fails: float = 0.8) -> Cells:
    """Return cells of a target with an east half, which fails in the incident, and where it ``leaves`` is hardly used then."""
    rng = np.random.default_rng(2)
    size = len(MINUTES)
    east = rng.random(size) < np.where(INSIDE & leaves, 0.1, 0.6)
    error = rng.random(size) < np.where(INSIDE & east, fails, 0.02)
    it = observed(np.zeros(size), MINUTES, error=error.astype(float))
    named = replace(it, deployment=np.where(east, 7, 3).astype(np.int32) if parted else None)
    return Cells.of(named, incident=SPAN)


def test_the_mix_is_that_of_healthy_times() -> None:
    parts = Parts.of(cells(), incident=SPAN)
    assert parts is not None
    assert parts.mix.sum(axis=1) == pytest.approx([1])
    assert sorted(parts.mix[0]) == pytest.approx([0.4, 0.6], abs=0.02)
    told = parts.cells
    assert told.shape == (2, *cells().shape[1:])
    assert (told.edges_us == cells().edges_us).all()
    assert told.suspects[:, 0].tolist() == [share > 0.5 for share in parts.mix[0]]  # east, and not its sibling


def test_a_half_that_left_is_still_counted() -> None:
    """Six in ten calls go east, where eight in ten fail: nearly half; the log shows one in ten."""
    it = cells()
    parts = Parts.of(it, incident=SPAN)
    assert parts is not None
    of = parts.fit("error")
    middle = np.flatnonzero(it.is_incident)[2:-2]
    seen = it.counts("error")
    shown = seen.k[0, :, middle].sum() / seen.n[0, :, middle].sum()
    assert shown < 0.15
    assert of.mean[0, 0, middle].mean() == pytest.approx(0.6 * 0.8 + 0.4 * 0.02, abs=0.08)
    drawn = of.draws(50)
    assert drawn.shape == (50, *it.shape)
    assert (drawn == parts.fit("error").draws(50)).all()


@pytest.mark.parametrize("change", [{"leaves": False}, {"parted": False}])
def test_a_target_whose_mix_stays_is_one(change: dict[str, bool]) -> None:
    assert Parts.of(cells(**change), incident=SPAN) is None


def test_rare_and_unknown_deployments_count_as_the_commonest() -> None:
    it = cells().observations
    assert it.deployment is not None
    odd = it.deployment.copy()
    odd[:10], odd[10:30] = 99, -1
    parts = Parts.of(Cells.of(replace(it, deployment=odd), incident=SPAN), incident=SPAN)
    assert parts is not None
    assert parts.mix.shape == (1, 2)
