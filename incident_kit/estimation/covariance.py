"""Covariance: how alike the outcomes of two cells are, on the logit scale, before any call is seen (EVIDENCE.md section 3).

A cell's logit is ``m + alpha_a + kappa_x + beta_ax + J_as incident_s(b) + gamma_a(b) + lambda(b) + r_ax g_a(b) + delta_ax(b)``,
in a suspect's incident ``+ w_a(b)``,
for target a, intent x and bin b. All parts are Gaussian; gamma, lambda and delta move over time as Ornstein-Uhlenbeck
processes, ``r`` lets intents differ in proportion to the incident's size ``g_a``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from incident_kit.cachedproperty import cached_property
from incident_kit.estimation.cells import FEWEST, Cells

Floats = NDArray[np.float64]
OTHER_SD = 0.5  # of a declared incident's shift of a target that is no suspect
UNSURE_SD = 1.0  # at most, of a suspect that its own calls do not show to be one


CLEAR = 30  # calls outside incidents that show whether a target is the same inside
UNCLEAR_SD = 0.5
UNCLEAR = 1.0  # part of a suspect's swings that is given to a target without them, such as a backup


@dataclass(frozen=True)
class Ranges:
    """How far an outcome may go, on the logit scale, before any call is seen.

    ``level`` is the sd between targets, ``worse`` the mean and ``shift`` the sd of what an incident does to a suspect, ``drift``
    and ``swing`` the medians of how a target's level moves over time, at any time and inside its incident.
    """

    level: float
    worse: float
    shift: float
    drift: float = 0.5
    swing: float = 0.7


# machines fail by any amount; tools, and people's verdicts of what a machine says, change by less
RANGES = {
    "error": Ranges(2.0, 0.8, 2.0),
    "tool_failure": Ranges(1.2, 0.9, 1.2, drift=0.3, swing=0.4),
    "override": Ranges(1.0, 1.0, 0.6, drift=0.3, swing=0.4),
    "latency": Ranges(1.5, 0.9, 1.5),
}
SHARED = ("ell", "sb", "sk", "sl", "elld", "rho", "sw")
_START = {"tau": 0.25, "ell": 60.0, "sb": 0.5, "sk": 0.5, "sl": 0.15, "elld": 40.0, "rho": 0.3}
_WIDTH = {"sg": 1.0, "tau": 0.7, "ell": 0.5, "sb": 0.6, "sk": 0.6, "sl": 0.7, "elld": 0.4, "rho": 0.4, "sw": 0.6}
_EDGE, _RAMP = (
    0.6,
    0.1,
)  # an incident begins and ends at this part of its size, and is whole after this part of its time
_SWING = 12.0  # how long an incident stays as bad as it is, on the model's clock
_UNIT = 60.0  # the incident's length on the model's clock: ell and elld are minutes of an incident of an hour


@dataclass(frozen=True, eq=False)
class Places:
    """Some cells: their target, group of intents, and bin."""

    target: NDArray[np.int64]
    group: NDArray[np.int64]
    bin: NDArray[np.int64]

    @classmethod
    def where(cls, chosen: NDArray[np.bool_]) -> Places:
        """Return the true places of ``[target, group, bin]``, sorted by target, then group, then bin."""
        return cls(*(one.astype(np.int64) for one in np.nonzero(chosen)))

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.target)


@dataclass(frozen=True, eq=False)
class Covariance:
    """The prior of all cells, given hyper-parameters: logs of sg and tau by target, then of SHARED.

    ``at`` is the middle of each bin on the model's clock, ``shift`` the prior sd of an incident's shift over
    ``[span, target, bin]``, ``swings`` how much of each ``[target, bin]`` lies in a suspect's incident, ``apart``
    what part of the swings' variance separates the calls that were seen there from those that were not, ``size`` the
    incident's size over ``[target, bin]``, zero until it is known, ``lift`` the prior mean over ``[target, bin]``,
    ``ranges`` the outcome's.
    """

    targets: int
    groups: int
    at: Floats
    shift: Floats
    swings: Floats
    apart: Floats
    size: Floats
    lift: Floats
    ranges: Ranges

    @classmethod
    def of(cls, cells: Cells, outcome: str) -> Covariance:
        """Return the prior of an outcome in cells, its clock set by the incident's length (or a sixth of the window's)."""
        edges = cells.edges_us.astype(np.float64)
        inside = (cells.spans * np.diff(edges)).sum(axis=1)
        length = float(inside.max()) if len(inside) and inside.max() > 0 else float(edges[-1] - edges[0]) / 6
        seen = cells.n().sum(axis=1) @ (cells.spans.T > 0.5)  # [target, span]
        clock = _UNIT / max(length, 1.0)
        apart = cells.n().sum(axis=1) @ (cells.spans.max(axis=0, initial=0) == 0)
        unclear = ~cells.suspects & (apart < CLEAR)[:, None] & (seen >= FEWEST)
        may_swing = np.where(cells.suspects, 1.0, np.where(unclear, UNCLEAR, 0.0))
        swings = np.clip(may_swing @ cells.spans, 0, 1)
        width = np.diff(edges) * clock
        ranges = RANGES.get(outcome, RANGES["latency"])
        unsure = cells.suspects & ((cells.shown < 1) | (seen < FEWEST))
        sd = np.where(
            cells.suspects,
            np.where(unsure, min(UNSURE_SD, ranges.shift), ranges.shift),
            np.where(unclear, min(UNCLEAR_SD, ranges.shift), OTHER_SD),
        )
        rising = cells.spans * _ramps(cells.spans, edges)
        return cls(
            cells.observations.targets,
            cells.groups,
            (cells.middle_us - edges[0]) * clock,
            sd.T[:, :, None] * rising[:, None, :],
            swings,
            swings**2 * cells.mixing * np.minimum(width / _SWING, 1),
            np.zeros((cells.observations.targets, len(edges) - 1)),
            ranges.worse * cells.shown @ rising,
            ranges,
        )

    def with_size(self, size: Floats) -> Covariance:
        """Return the prior in which intents differ in proportion to ``size``."""
        return replace(self, size=size)

    @property
    def start(self) -> Floats:
        """The medians of the hyper-parameters' log-normal priors, as logs."""
        return self._spread(_START | {"sg": self.ranges.drift, "sw": self.ranges.swing}, log=True)

    @property
    def width(self) -> Floats:
        """The standard deviations of their logs."""
        return self._spread(_WIDTH, log=False)

    def _spread(self, values: dict[str, float], *, log: bool) -> Floats:
        by_target = [values[name] for name in ("sg", "tau") for _ in range(self.targets)]
        flat = np.array([*by_target, *(values[name] for name in SHARED)])
        return np.log(flat) if log else flat

    @cached_property
    def _swing(self) -> Floats:
        """The correlation of a suspect's swings inside its incident, over ``[target, bin, bin]``."""
        alike = np.exp(-np.abs(self.at[:, None] - self.at) / _SWING)
        return np.asarray(self.swings[:, :, None] * self.swings[:, None, :] * alike)

    def _named(self, theta: Floats) -> tuple[Floats, Floats, dict[str, float]]:
        values = np.exp(theta)
        a = self.targets
        return values[:a], values[a : 2 * a], dict(zip(SHARED, values[2 * a :].tolist(), strict=True))

    def matrix(self, theta: Floats, rows: Places, columns: Places) -> Floats:
        """Return the covariances of some cells with others, ``[row, column]``; both are sorted by target."""
        sg, tau, one = self._named(theta)
        gap = np.abs(self.at[:, None] - self.at)
        slow, quick = np.exp(-gap / one["ell"]), np.exp(-gap / one["elld"])
        own = self.ranges.level**2 + np.einsum("sab,sac->abc", self.shift, self.shift) + sg[:, None, None] ** 2 * slow
        own = own + one["sw"] ** 2 * self._swing
        both = (
            one["sb"] ** 2
            + tau[:, None, None] ** 2 * quick
            + one["rho"] ** 2 * self.size[:, :, None] * self.size[:, None, :]
        )
        shared = one["sl"] ** 2 * slow
        pair = rows.bin[:, None] * len(self.at) + columns.bin
        alike = (rows.group[:, None] == columns.group).astype(np.float64)
        result = np.take(shared, pair)
        result += one["sk"] ** 2 * alike
        for a in range(self.targets):
            r, c = (slice(*np.searchsorted(of.target, (a, a + 1))) for of in (rows, columns))
            result[r, c] += np.take(own[a], pair[r, c]) + alike[r, c] * np.take(both[a], pair[r, c])
        return result

    def aside(self, theta: Floats, at: Places) -> Floats:
        """Return the variance between what calls of a cell showed and what the cell's other calls would have.

        A bin is not one moment: a probe that succeeds is seen when the incident ends, the bin's other requests came before.
        """
        one = self._named(theta)[2]
        return np.asarray(one["sw"] ** 2 * self.apart[at.target, at.bin])

    def seen(self, theta: Floats, at: Places) -> Floats:
        """Return the covariances of what calls of some cells showed."""
        found = self.matrix(theta, at, at)
        found[np.diag_indices(len(at))] += self.aside(theta, at)
        return found

    def variance(self, theta: Floats, at: Places) -> Floats:
        """Return the prior variance of some cells."""
        sg, tau, one = self._named(theta)
        a, b = at.target, at.bin
        fixed = self.ranges.level**2 + one["sl"] ** 2 + one["sk"] ** 2 + one["sb"] ** 2
        moving = sg[a] ** 2 + tau[a] ** 2 + (self.shift[:, a, b] ** 2).sum(axis=0) + (one["rho"] * self.size[a, b]) ** 2
        moving = moving + (one["sw"] * self.swings[a, b]) ** 2
        return np.asarray(fixed + moving)

    def slopes(self, theta: Floats, at: Places, weight: Floats) -> Floats:
        """Return, for each hyper-parameter, the sum of ``weight`` times the derivative of ``seen(theta, at)``.

        ``at`` is sorted by target.
        """
        sg, tau, one = self._named(theta)
        gap = np.abs(self.at[:, None] - self.at)
        slow, quick = np.exp(-gap / one["ell"]), np.exp(-gap / one["elld"])
        dslow, dquick = slow * gap / one["ell"], quick * gap / one["elld"]
        by_bin = _by_bin(weight, at.bin, len(self.at))
        found = np.zeros(2 * self.targets + len(SHARED))
        ell, sb, sk, sl, elld, rho, sw = range(2 * self.targets, len(found))
        found[sl] = 2 * one["sl"] ** 2 * (by_bin * slow).sum()
        found[ell] = one["sl"] ** 2 * (by_bin * dslow).sum()
        found[sk] = 2 * one["sk"] ** 2 * weight[at.group[:, None] == at.group].sum()
        found[sw] = 2 * float(np.diag(weight) @ self.aside(theta, at))
        edges = np.searchsorted(at.target, np.arange(self.targets + 1))
        for a in range(self.targets):
            part = slice(edges[a], edges[a + 1])
            if edges[a] == edges[a + 1]:
                continue
            block = weight[part, part]
            bins = _by_bin(block, at.bin[part], len(self.at))
            found[a] = 2 * sg[a] ** 2 * (bins * slow).sum()
            found[ell] += sg[a] ** 2 * (bins * dslow).sum()
            found[sw] += 2 * one["sw"] ** 2 * (bins * self._swing[a]).sum()
            alike = at.group[part][:, None] == at.group[part]
            same = _by_bin(block * alike, at.bin[part], len(self.at))
            found[self.targets + a] = 2 * tau[a] ** 2 * (same * quick).sum()
            found[elld] += tau[a] ** 2 * (same * dquick).sum()
            found[sb] += 2 * one["sb"] ** 2 * same.sum()
            found[rho] += 2 * one["rho"] ** 2 * (self.size[a] @ same @ self.size[a])
        return found

    def sample(self, theta: Floats, size: int, rng: np.random.Generator) -> Floats:
        """Return draws from the prior over ``[draw, target, group, bin]``, part by part."""
        sg, tau, one = self._named(theta)
        m, g, b = self.targets, self.groups, len(self.at)
        gap = np.abs(self.at[:, None] - self.at)
        slow, quick = (np.linalg.cholesky(np.exp(-gap / one[x]) + 1e-9 * np.eye(b)).T for x in ("ell", "elld"))
        level = self.ranges.level * rng.standard_normal((size, m, 1, 1))
        intent = one["sk"] * rng.standard_normal((size, 1, g, 1)) + one["sb"] * rng.standard_normal((size, m, g, 1))
        shift = np.einsum("nsa,sab->nab", rng.standard_normal((size, len(self.shift), m)), self.shift)
        own = sg[:, None] * (rng.standard_normal((size, m, b)) @ slow)
        swing = np.linalg.cholesky(np.exp(-gap / _SWING) + 1e-9 * np.eye(b)).T
        own = own + one["sw"] * self.swings * (rng.standard_normal((size, m, b)) @ swing)
        shared = one["sl"] * (rng.standard_normal((size, 1, 1, b)) @ slow)
        tilt = one["rho"] * rng.standard_normal((size, m, g, 1)) * self.size[:, None, :]
        deviation = tau[:, None, None] * (rng.standard_normal((size, m, g, b)) @ quick)
        return np.asarray(level + intent + (shift + own)[:, :, None, :] + shared + tilt + deviation)

    def incident_size(self, theta: Floats, at: Places, weights: Floats) -> Floats:
        """Return over ``[target, bin]`` how far each target is from its usual level, by a posterior's ``weights`` of cells."""
        sg, _, one = self._named(theta)
        slow = np.exp(-np.abs(self.at[:, None] - self.at) / one["ell"])
        found = np.zeros_like(self.size)
        for a in range(self.targets):
            of = at.target == a
            pull = np.bincount(at.bin[of], weights[of], minlength=len(self.at))
            found[a] = sg[a] ** 2 * (slow @ pull) + one["sw"] ** 2 * (self._swing[a] @ pull)
            found[a] += self.shift[:, a].T @ (self.shift[:, a] @ pull) + self.lift[a]
        return np.asarray(found - np.median(found, axis=1, keepdims=True))


def _ramps(spans: Floats, edges: Floats) -> Floats:
    """Return over ``[span, bin]`` how much of its size an incident has: it is seen most while it rises, before traffic leaves."""
    found = np.ones_like(spans)
    middle = edges[:-1] + np.diff(edges) / 2
    for s, inside in enumerate(spans > 0):
        if inside.any():
            first, last = edges[:-1][inside].min(), edges[1:][inside].max()
            depth = np.minimum(middle - first, last - middle) / max(last - first, 1.0)
            found[s] = _EDGE + (1 - _EDGE) * np.clip(depth / _RAMP, 0, 1)
    return found


def _by_bin(weight: Floats, bin_: NDArray[np.int64], bins: int) -> Floats:
    """Return weights of pairs of cells summed over ``[bin, bin]``."""
    of = np.zeros((len(bin_), bins))
    of[np.arange(len(bin_)), bin_] = 1.0
    return np.asarray(of.T @ (weight @ of))
