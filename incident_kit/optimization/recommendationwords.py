"""Recommendation words: a recommendation in sentences: what, by how much, on what terms, and what would change it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from incident_kit.drafts.healthywindows import A_WEEK_H
from incident_kit.optimization.bills import LOGGED, NOTHING
from incident_kit.optimization.objective import COUNTED, one
from incident_kit.optimization.recommendations import parts_of
from incident_kit.optimization.tunings import policy_name
from incident_kit.policies.policywriter import inline
from incident_kit.words import UNKNOWN, label, number

if TYPE_CHECKING:
    from incident_kit.optimization.recommendations import Recommendation

LITTLE = 0.01  # of what never switching costs
_TIMES = {0.5: "half", 2.0: "twice"}


def sentences(found: Recommendation) -> Iterator[str]:
    """Yield a recommendation's lines: verdict, terms, the parts of its cost, warnings, what would change it."""
    tuning = found.tuning
    paths = tuple(tuning.grid)
    here = tuning.settings[0]
    if not found.is_worth_it:
        yield "Nothing that was tried is worth it: no setting costs less than never switching, beyond noise."
        yield f"Of the settings, the simplest within noise of the cheapest: {found.name}."
    elif found.setting.number == 0:
        yield f"Keep the policy as it stands: {found.name}. No setting is better beyond noise."
    else:
        changed = [
            f"{path} {inline(value)} (as it stands {inline(old)})"
            for path, value, old in zip(paths, found.setting.values, here.values, strict=True)
            if value != old
        ]
        yield f"Recommended: {', '.join(changed)}; the rest as it stands."
    yield _gained(found)
    others = int(found.choice.flat.sum()) - 1
    if others:
        yield (
            f"{number(others)} of {number(len(tuning.settings) - 1)} other settings cost no more beyond noise; of all these it "
            "changes the fewest values, and lies in the middle."
        )
    yield from _healthy(found)
    yield ""
    yield from parts(found)
    yield ""
    yield f"What one costs, in US dollars: {tuning.objective}."
    yield ""
    yield "Terms:"
    yield from (f"- {said}" for said in terms(found))
    if found.warnings:
        yield "Beware:"
        yield from (f"- {said}" for said in found.warnings)
    yield "What would change the verdict:"
    yield from (f"- {said}" for said in would_change(found))


def _gained(found: Recommendation) -> str:
    total, low, high = found.gain
    report = found.report([bill.name for bill in found.bills])
    said = f"Over {_incidents(len(found.bills))} it costs {_less(total, low, high)}"
    shares = [report[name] for name in ("gain_share", "as_it_stands", "as_logged")]
    if _is_little(found) or any(share is None or share < -1 for share in shares):
        most = max(_most(found)[0], 0.0)
        return f"{said}; there, hindsight itself gains {f'{most:,.0f} US dollars only' if most else 'nothing'}."
    return (
        f"{said}: {_share(report['gain_share'])} of what hindsight would have gained; the policy as it stands "
        f"{_share(report['as_it_stands'])}, what was logged {_share(report['as_logged'])}."
    )


def _most(found: Recommendation) -> tuple[float, float]:
    """Return what hindsight gains on never switching, and what never switching costs."""
    objective = found.tuning.objective
    never = sum(float(bill.costs(objective)[bill.of(NOTHING)].mean()) for bill in found.bills)
    return never - sum(float(bill.oracle(objective).mean()) for bill in found.bills), never


def _is_little(found: Recommendation) -> bool:
    """Return whether hindsight gains so little on never switching that a share of it says nothing."""
    most, never = _most(found)
    return most <= LITTLE * never


def _share(share: float | None) -> str:
    """Return a share of hindsight's gain; of what loses more than that gain, no figure."""
    return UNKNOWN if share is None else f"{share:.0%}" if share >= -1 else "a loss larger than that gain"


def _incidents(size: int) -> str:
    return "one incident" if size == 1 else f"{number(size)} incidents"


def _less(gain: float | None, low: float | None, high: float | None) -> str:
    """Return a gain in words: ``"78 US dollars less than never switching (20 US dollars less to ...)"``."""

    def said(value: float) -> str:
        return f"{abs(value):,.0f} US dollars {'less' if value >= 0 else 'more'}"

    return f"{said(gain or 0)} than never switching ({said(low or 0)} to {said(high or 0)})"


def _healthy(found: Recommendation) -> Iterator[str]:
    hours = sum(bill.facts["healthy_h"] for bill in found.bills)
    row = found.table.row(found.choice.chosen, named=True)
    if hours and row["false_trips_a_week"] is not None:
        yield (
            f"When nothing is wrong ({number(hours)} hours outside impacts) it leaves a primary {row['false_trips_a_week']:.1f} "
            f"times a week of {A_WEEK_H} hours, and is on the backup for {row['needless_min_a_week']:.0f} minutes of it."
        )


def parts(found: Recommendation) -> Iterator[str]:
    """Yield a table of the parts: never switching, as logged, as it stands, recommended; each in its own unit."""
    names = [NOTHING, LOGGED, policy_name(0), policy_name(found.setting.number)]
    titles = ["never", "as logged", "as it stands", "recommended" if found.is_worth_it else "cheapest"]
    columns = [parts_of(found.bills, name) for name in names]
    yield _row("counts", (f"{title:>13}" for title in titles))
    weights = found.tuning.objective.weights
    told = [part for part in weights if any(column[part] for column in columns)]
    for part in told:
        yield _row(COUNTED[part], (f"{column[part]:>13,.1f}" for column in columns))
    totals = [sum(weights[part] * value for part, value in column.items()) for column in columns]
    yield _row("cost, US dollars", (f"{total:>13,.1f}" for total in totals))
    objective = found.tuning.objective
    hindsight = float(np.sum([bill.oracle(objective).mean() for bill in found.bills]))
    yield _row("with hindsight, US dollars", [f"{hindsight:>13,.1f}"])
    if free := [COUNTED[part] for part in told if not weights[part]]:
        yield f"Counted, and without a price: {', '.join(free)}."


def _row(title: str, cells: Iterable[str]) -> str:
    """Return a line of a table that fits eighty columns."""
    return f"{title:<27.27}{''.join(cells)}"


def terms(found: Recommendation) -> Iterator[str]:
    """Yield what the recommendation rests on."""
    row = found.table.row(found.choice.chosen, named=True)
    yield f"{row['seen']:.0%} of the outcomes behind it are in the logs; the rest is worked out from similar requests."
    slow = sorted({int(bill.facts["slow_ms"]) for bill in found.bills})
    yield f"A wait counts as slow over {' or '.join(number(one, 'ms') for one in slow)}."
    if any(bill.facts["simulated"] for bill in found.bills):
        made = sum(bool(bill.facts["simulated"]) for bill in found.bills)
        yield f"{number(made)} of {number(len(found.bills))} incidents are simulated."
    for name, why in found.tuning.untold.items():
        yield f"{label(name)} is left out: {why}."
    if found.others:
        report = found.report()
        share = "" if report["gain_share"] is None else f", {_share(report['gain_share'])} of hindsight's gain"
        yield (
            f"On the {_incidents(len(found.others))} it was not chosen on it costs "
            f"{_less(report['gain'], report['gain_low'], report['gain_high'])}{share}."
        )
    if found.left_out.height:
        got, most = (float(found.left_out[name].sum()) for name in ("gain", "gain_hindsight"))
        if most > 0 and not _is_little(found):
            yield f"Chosen without each incident in turn, and held against it: {_share(got / most)} of hindsight's gain."


def would_change(found: Recommendation) -> Iterator[str]:
    """Yield which incidents and which weights the verdict hangs on."""
    moved = found.left_out.filter(~found.left_out["agrees"])
    for row in moved.iter_rows(named=True):
        yield f"without {label(row['incident'])}: {row['values']}."
    weights = found.other_weights.filter(~found.other_weights["agrees"])
    for row in weights.iter_rows(named=True):
        yield f"if {one(row['part'])} cost {_TIMES[row['factor']]} as much: {row['values']}."
    if moved.is_empty() and weights.is_empty():
        yield (
            "nothing that was tried: without any one incident, or with any one part costing half or twice as much, it is still "
            "within noise of the best."
        )
