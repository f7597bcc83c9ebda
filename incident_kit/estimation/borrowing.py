"""Borrowing: real calls drawn in place of those that the log does not hold, tilted towards what a cell's outcome would be.

Compiled. The choice is a counter-based hash of (seed, draw, request id, target, attempt number): the same in any order of
rows, whatever else is drawn.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import numba as nb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from incident_kit.estimation.outcomerecords import CALL, NO_OUTCOME

# what was changed of a borrowed call; the record holds a changed error or latency already
ERROR, TOOLS_FAILED, TOOLS_WORKED, OVERRIDDEN, ACCEPTED, LATENCY = 1, 2, 4, 8, 16, 32
OUTCOMES = 3  # error, tool failure, override: what weights are tilted towards; the latency has a factor
_PART = 250_000  # ids that are hashed at a time
_RIDGE = 0.01
_STEPS = 12
_HALVINGS = 30
_MOST = np.log(20.0)  # a latency's level stays within 1/20 and 20 of the one that is expected
_jit = nb.njit(cache=True, nogil=True)


def key(*name: str | int) -> np.uint64:
    """Return a hash of names and numbers."""
    text = "\x1f".join(map(str, name))
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"))


def keys(ids: pl.Series) -> NDArray[np.uint64]:
    """Return a hash of each id."""
    found = np.empty(len(ids), np.uint64)
    for first in range(0, len(ids), _PART):
        cells = ids.slice(first, _PART).rechunk().to_arrow().cast("large_string")
        _, offsets, data = cells.buffers()
        places = np.frombuffer(offsets, np.int64)[cells.offset : cells.offset + len(cells) + 1]
        found[first : first + _PART] = _hashes(places, np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8))
    return found


@_jit
def _mixed(x: Any) -> Any:
    """Return the bits of a number well mixed (the finalizer of splitmix64)."""
    x = np.uint64(x)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@_jit
def _uniform(state: Any, step: int) -> Any:
    word = _mixed(np.uint64(state) + np.uint64(step) * np.uint64(0x9E3779B97F4A7C15))
    return (float(word >> np.uint64(11)) + 0.5) * 2.0**-53


@_jit
def _hashes(places: Any, data: Any) -> Any:
    found = np.empty(len(places) - 1, np.uint64)
    for i in range(len(found)):
        state = np.uint64(0xCBF29CE484222325)
        for j in range(places[i], places[i + 1]):
            state = (state ^ np.uint64(data[j])) * np.uint64(0x100000001B3)
        found[i] = _mixed(state)
    return found


@_jit
def tilt(starts: Any, values: Any, latency: Any, wanted: Any, chances: Any) -> tuple[Any, Any, Any]:
    """Return how a draw borrows in each cell: cumulative weights of its donors, flips, and the level of its latencies.

    Parameters
    ----------
    starts
        The donors of cell c are ``[starts[c], starts[c + 1])``.
    values
        ``[outcome, donor]``: error, tool failure, override in [0, 1], NaN where not known.
    latency
        ``[(relative, fixed), donor]``: L over what its own cell expects, of a call that is brought to the level of another cell,
        or min(L, T) / T of one that a timeout cut.
    wanted
        ``[error, tool failure, override, latency; cell]``: what the cell's outcomes should be on average; NaN: as they are.
    chances
        Room for ``[outcome, (up, down); cell]``: with what chance an outcome is turned to 1, or to 0.
    """
    cells = len(starts) - 1
    cumulative = np.empty(values.shape[1], np.float64)
    levels = np.ones(cells)
    most = 0
    for c in range(cells):
        most = max(most, starts[c + 1] - starts[c])
    g, w = np.empty((most, OUTCOMES)), np.empty(most)
    theta, gradient, hessian = np.zeros(OUTCOMES), np.empty(OUTCOMES), np.empty((OUTCOMES, OUTCOMES))
    for c in range(cells):
        first, n = starts[c], starts[c + 1] - starts[c]
        if n == 0:
            continue
        for j in range(n):
            for k in range(OUTCOMES):
                value, p = values[k, first + j], wanted[k, c]
                g[j, k] = 0.0 if np.isnan(value) or np.isnan(p) else value - p
        theta[:] = 0.0
        _solve(g, w, n, theta, gradient, hessian)
        _close(w, values[:, first : first + n], wanted[:, c], chances[:, :, c])
        if not np.isnan(wanted[OUTCOMES, c]):
            levels[c] = _level(w, latency[:, first : first + n], wanted[OUTCOMES, c])
        total = 0.0
        for j in range(n):
            total += w[j]
            cumulative[first + j] = total
        cumulative[starts[c + 1] - 1] = 2.0
    return cumulative, chances, levels


@_jit
def _close(w: Any, values: Any, wanted: Any, chances: Any) -> None:
    """Enter the chances of flips that close what weights leave open."""
    for k in range(OUTCOMES):
        mass, hit = 0.0, 0.0
        for j in range(values.shape[1]):
            value = values[k, j]
            if not np.isnan(value):
                mass += w[j]
                hit += w[j] * value
        if np.isnan(wanted[k]) or mass <= 0:
            continue
        q = min(hit / mass, 1.0)
        if wanted[k] > q:
            chances[k, 0] = (wanted[k] - q) / (1 - q)
        elif wanted[k] < q:
            chances[k, 1] = (q - wanted[k]) / q


@_jit
def _solve(g: Any, w: Any, n: int, theta: Any, gradient: Any, hessian: Any) -> None:
    """Find weights ``w`` ~ exp(theta . g) that bring the means of g near 0: ridge-penalised, by damped Newton steps."""
    for _ in range(_STEPS):
        highest = -np.inf
        for j in range(n):
            w[j] = 0.0
            for k in range(OUTCOMES):
                w[j] += theta[k] * g[j, k]
            highest = max(highest, w[j])
        total = 0.0
        for j in range(n):
            w[j] = np.exp(w[j] - highest)
            total += w[j]
        gradient[:] = 0.0
        hessian[:] = 0.0
        for j in range(n):
            w[j] /= total
            for k in range(OUTCOMES):
                gradient[k] += w[j] * g[j, k]
                for m in range(k + 1):
                    hessian[k, m] += w[j] * g[j, k] * g[j, m]
        for k in range(OUTCOMES):
            for m in range(k + 1):
                hessian[k, m] -= gradient[k] * gradient[m]
                hessian[m, k] = hessian[k, m]
        size = 0.0
        for k in range(OUTCOMES):
            hessian[k, k] += _RIDGE
            gradient[k] += _RIDGE * theta[k]
            size += abs(gradient[k])
        if size < 1e-4:
            return
        _step(hessian, gradient, theta)


@_jit
def _step(a: Any, b: Any, theta: Any) -> None:
    """Take a Newton step, at most 2 in each direction: theta -= a^-1 b for a symmetric positive 3 x 3 matrix."""
    c00 = a[1, 1] * a[2, 2] - a[1, 2] * a[1, 2]
    c01 = a[0, 2] * a[1, 2] - a[0, 1] * a[2, 2]
    c02 = a[0, 1] * a[1, 2] - a[0, 2] * a[1, 1]
    c11 = a[0, 0] * a[2, 2] - a[0, 2] * a[0, 2]
    c12 = a[0, 1] * a[0, 2] - a[0, 0] * a[1, 2]
    c22 = a[0, 0] * a[1, 1] - a[0, 1] * a[0, 1]
    det = a[0, 0] * c00 + a[0, 1] * c01 + a[0, 2] * c02
    d0 = (c00 * b[0] + c01 * b[1] + c02 * b[2]) / det
    d1 = (c01 * b[0] + c11 * b[1] + c12 * b[2]) / det
    d2 = (c02 * b[0] + c12 * b[1] + c22 * b[2]) / det
    theta[0] -= min(max(d0, -2.0), 2.0)
    theta[1] -= min(max(d1, -2.0), 2.0)
    theta[2] -= min(max(d2, -2.0), 2.0)


@_jit
def _level(w: Any, latency: Any, wanted: float) -> float:
    """Return the level at which the mean of min(L, T) / T is as wanted, as far as it can be."""
    fixed = 0.0
    for j in range(latency.shape[1]):
        fixed += w[j] * latency[1, j]
    expected = np.log(max(wanted, 1e-9))
    low, high = expected - _MOST, expected + _MOST
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        factor, mean = np.exp(middle), fixed
        for j in range(latency.shape[1]):
            mean += w[j] * min(factor * latency[0, j], 1.0)
        if mean < wanted:
            low = middle
        else:
            high = middle
    return float(np.exp(0.5 * (low + high)))


@_jit
def borrow(who: Any, table: Any, calls: Any, tail: Any, timeout: Any, into: Any) -> None:
    """Fill the empty cells of one entry with drawn calls.

    Parameters
    ----------
    who
        A hash of seed, draw and target; and per column the hash of its request, its cell, whether it is filled here, and when
        it was sent; the edges of the bins, as many to an intent; and ``[attempt number, column]`` how the log says that a call
        ended whose duration it does not know (-1: nothing, or an empty array). An attempt is of the cell of its own sending.
    table
        the donors' calls, their relative latencies and starts as in :func:`tilt`, and what that returned.
    calls
        latency_ms, error, is_censored, of all calls; T in ms.
    tail
        at_ms, above of healthy times, the same of degraded ones, and which bins are degraded: the survival of the target's
        latencies, for a timeout longer than the one that cut a donor.
    timeout
        The policy's timeout in ms or 0, the class of timeouts, and that of an error that a flip makes.
    into
        records, donor, changed: ``[attempt number, column]``, filled in.
    """
    draw_key, request_key, cell, chosen, sent_us, edges_us, ended = who
    members, relative, starts, _, chances, levels = table
    latency_ms, error, is_censored, cap_ms = calls
    records, donor, changed = into
    bins = len(edges_us) - 1
    for column in range(len(cell)):
        c = cell[column]
        if not chosen[column]:
            continue
        at = sent_us[column]
        for number in range(records.shape[0]):
            one = records[number, column]
            if number > 0:
                before = np.int64(records[number - 1, column].latency_ms)
                at += 1000 * (min(before, timeout[0] + 1) if timeout[0] > 0 else before)
                c = _later(c, at, edges_us, starts)
            if one.kind != NO_OUTCOME or starts[c] == starts[c + 1]:
                continue
            state = _mixed(request_key[column] ^ _mixed(np.uint64(draw_key) + np.uint64(number)))
            known = np.int64(ended[number, column]) if ended.size > 0 else np.int64(-1)
            place = _drawn(table, c, state, known, error)
            call = members[place]
            milliseconds, of = np.int64(latency_ms[call]), np.int64(error[call])
            flags = _flips(state, chances, c, of)
            if known >= 0:
                flags = (flags & ~ERROR) | (ERROR if known != of else 0)
            if is_censored[call] and timeout[0] > milliseconds * 1.05:
                milliseconds, of = _longer(milliseconds, _uniform(state, 5), _tail(tail, c % bins), timeout)
                flags |= LATENCY
            elif not is_censored[call]:
                level = np.int64(min(np.rint(relative[place] * levels[c] * cap_ms), max(cap_ms, float(milliseconds))))
                flags |= LATENCY if level != milliseconds else 0
                milliseconds = level
            if known >= 0:
                of = known
            elif flags & ERROR:
                of = np.int64(0) if of > 0 else timeout[2]
            one.latency_ms, one.error, one.kind = milliseconds, of, CALL
            donor[number, column] = call
            changed[number, column] = flags


@_jit
def _later(c: Any, at: Any, edges_us: Any, starts: Any) -> Any:
    """Return the cell of the same intent at an instant not before its own; where nothing can be borrowed there, the last."""
    bins = len(edges_us) - 1
    found, b = c, c % bins
    while b + 1 < bins and at >= edges_us[b + 1]:
        b += 1
        c += 1
        if starts[c] < starts[c + 1]:
            found = c
    return found


@_jit
def _drawn(table: Any, c: Any, state: Any, known: Any, error: Any) -> Any:
    """Return a donor's place; where it is known how the call ended, one that ended alike, if one is found in eight."""
    members, _, starts, cumulative, _, _ = table
    first, end = starts[c], starts[c + 1]
    place = _place(cumulative, first, end - 1, _uniform(state, 1))
    for again in range(1, 8):
        if known < 0 or (error[members[place]] > 0) == (known > 0):
            break
        place = _place(cumulative, first, end - 1, _uniform(state, 8 * again))
    return place


@_jit
def _tail(tail: Any, bin_: Any) -> Any:
    """Return the survival of a bin's state."""
    if tail[4][bin_]:
        return tail[2], tail[3]
    return tail[0], tail[1]


@_jit
def _place(cumulative: Any, first: int, last: int, u: float) -> int:
    """Return the first place whose cumulative weight is over u."""
    while first < last:
        middle = (first + last) // 2
        if cumulative[middle] > u:
            last = middle
        else:
            first = middle + 1
    return first


@_jit
def _flips(state: Any, chances: Any, c: Any, error: Any) -> Any:
    """Return what is turned over of a drawn call."""
    flags = 0
    if _uniform(state, 2) < chances[0, 1 if error > 0 else 0, c]:
        flags |= ERROR
    turn = _uniform(state, 3)
    if turn < chances[1, 0, c]:
        flags |= TOOLS_FAILED
    elif turn < chances[1, 1, c]:
        flags |= TOOLS_WORKED
    turn = _uniform(state, 4)
    if turn < chances[2, 0, c]:
        flags |= OVERRIDDEN
    elif turn < chances[2, 1, c]:
        flags |= ACCEPTED
    return flags


@_jit
def _longer(cut_ms: Any, u: float, tail: Any, timeout: Any) -> tuple[Any, Any]:
    """Return latency and error of a call that lasted longer than ``cut_ms``; unknown beyond the tail: another timeout."""
    at_ms, above = tail
    i = np.searchsorted(at_ms, float(cut_ms), side="right")
    before = above[i - 1] if i > 0 else 1.0
    while i < len(at_ms) and above[i] > u * before:
        i += 1
    if i < len(at_ms) and at_ms[i] <= timeout[0]:
        return np.int64(at_ms[i]), np.int64(0)
    return np.int64(timeout[0]) + 1, np.int64(timeout[1])


@_jit
def differ(bare: Any, offered: Any, is_bare: Any, records: Any, donor: Any) -> None:
    """Empty the logged cells of one entry whose tools differ from the policy's: ``bare`` a column, ``is_bare`` a call."""
    for number in range(records.shape[0]):
        for column in range(records.shape[1]):
            call = donor[number, column]
            if call >= 0 and offered[column] > 0 and bare[column] != is_bare[call]:
                records[number, column].kind, donor[number, column] = NO_OUTCOME, -1
                records[number, column].estimated = 1


@_jit
def outlast(who: Any, tail: Any, timeout: Any, records: Any, changed: Any) -> None:
    """Draw what a longer timeout would have seen of logged attempts that a shorter one cut; ``who`` as in :func:`borrow`."""
    draw_key, request_key, cell = who
    if timeout[0] == 0:
        return
    for number in range(records.shape[0]):
        for column in range(records.shape[1]):
            one = records[number, column]
            if one.kind == CALL and one.error == timeout[1] and timeout[0] > one.latency_ms * 1.05:
                state = _mixed(request_key[column] ^ _mixed(np.uint64(draw_key) + np.uint64(number)))
                of = _tail(tail, cell[column] % len(tail[4]))
                found = _longer(np.int64(one.latency_ms), _uniform(state, 5), of, timeout)
                one.latency_ms, one.error = found
                one.estimated = 1
                changed[number, column] = LATENCY
