"""Quality: the backup beside the primary, and what an incident did to customers and agents, as counts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from incident_kit.healthy import is_healthy
from incident_kit.scoring.metrics import JUDGED, metric

if TYPE_CHECKING:
    from incident_kit.incident import Incident

QUALITY = {
    "p50_wait_ms": "p50_ms",
    "p95_wait_ms": "p95_ms",
    "error_rate": "error_rate",
    "tool_success_rate": "tool_success_rate",
    "override_rate": "override_rate",
}
COUNTED = {  # what each metric is of
    "p50_wait_ms": pl.col("wait_ms").count(),
    "p95_wait_ms": pl.col("wait_ms").count(),
    "error_rate": pl.col("failed").count(),
    "tool_success_rate": pl.col("tool_calls").filter(JUDGED).sum(),
    "override_rate": pl.col("overridden").count(),
}
NO_INTENT = "(no intent)"
OFTEN = 0.2  # of the first tries in the healthy time: a primary beside others that share the load
SCHEMA = {
    "intent": pl.String, "target": pl.String, "role": pl.String, "metric": pl.String, "value": pl.Float64, "n": pl.Int64,
    "note": pl.String,
}  # fmt: skip


def quality(incident: Incident) -> pl.DataFrame:
    """Return, per intent, target and role, the calls that each target answered: one row a metric.

    The role is the model's, whoever was tried first: ``primary`` is what the policy in force, or else the healthy time, sends
    an intent to, ``backup`` every other. The latency and failures are the target's own calls', never the request's wait nor a
    refusal; tools and overrides are of the answers it gave. ``n`` counts what the value is of: calls, tool calls, judged
    answers. ``note`` says where the log holds a lower bound, or nothing.
    """
    calls = _cast(incident, incident.store.query("quality_calls"))
    rows = []
    for keys, group in calls.group_by("intent", "target", "role", maintain_order=True):
        for name, formula in QUALITY.items():
            one = metric(formula)
            answer = incident.answers.get(one.question or "")
            value, note = group.select(one.value).item(), ""
            if answer is not None and answer.answer == "no":
                value, note = None, f"not in this log: {answer.why}"
            elif answer is not None and answer.answer == "lower bound" and one.question == "errors":
                note = "lower bound"
            rows.append((*keys, name, value, group.select(COUNTED[name]).item(), note))
        tokens = group["completion_tokens"]
        rows.append((*keys, "completion_tokens", tokens.mean(), tokens.count(), ""))
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("intent", "role", "metric", maintain_order=True)


def _cast(incident: Incident, calls: pl.DataFrame) -> pl.DataFrame:
    """Return the calls with each model's role for an intent; as the log says where neither policy nor habit names a primary."""
    primaries: dict[str, tuple[str, ...]] = {}
    healthy = pl.Series(is_healthy(incident, calls["at_us"].to_numpy()), dtype=pl.Boolean)
    for (intent,), rows in calls.with_columns(healthy=healthy).group_by("intent", maintain_order=True):
        route = incident.in_force and incident.in_force.route_of(None if intent == NO_INTENT else str(intent))
        named = tuple(one for one in route.primaries if (rows["target"] == one).any()) if route else ()
        tried = rows.filter(role="primary")
        usual = tried.filter("healthy") if tried["healthy"].any() else tried
        often = usual.group_by("target").len().filter(pl.col("len") >= OFTEN * usual.height)["target"].sort()
        primaries[str(intent)] = named or tuple(often)
    said = [
        ("primary" if target in primaries[intent] else "backup") if primaries[intent] else role
        for intent, target, role in calls.select("intent", "target", "role").iter_rows()
    ]
    return calls.with_columns(role=pl.Series(said, dtype=pl.String))


def impact(incident: Incident) -> list[tuple[str, int | None, int | None, float | None]]:
    """Return counts during the impact: (label, count, out of, the count that a normal time of as many would have had)."""
    outcomes = incident.as_logged.outcomes
    if not any(phase.kind == "impact" for phase in incident.phases):
        return []
    start, end = incident.span("impact")
    inside = (pl.col("at") >= start) & (pl.col("at") < end)
    # another impact's requests are no normal time either
    others = [phase for phase in incident.phases if phase.kind == "impact" and phase.until and phase.at != start]
    troubled = pl.any_horizontal(inside, *((pl.col("at") >= one.at) & (pl.col("at") < one.until) for one in others))
    during, normal = outcomes.filter(inside), outcomes.filter(~troubled)
    found: list[tuple[str, int | None, int | None, float | None]] = []
    for label, (question, count, total) in measured(incident.slow_ms).items():
        answer = incident.answers.get(question or "")
        if answer is not None and answer.answer == "no":
            found.append((label, None, None, None))
            continue
        both = (count.cast(pl.Int64).alias("k"), total.cast(pl.Int64).alias("n"))
        (k, n), (usual_k, usual_n) = (frame.select(both).row(0) for frame in (during, normal))
        found.append((label, k, n, usual_k / usual_n * n if usual_n else None))
    return found


def measured(slow_ms: float) -> dict[str, tuple[str | None, pl.Expr, pl.Expr]]:
    """Return what is counted of an impact: by its label, what the log must answer for it, the count, and what it is of."""
    return {
        f"Waits over {slow_ms / 1000:g} s": (
            "waits",
            (pl.col("wait_ms") > slow_ms).sum(),
            pl.col("wait_ms").is_not_null().sum(),
        ),
        "Requests that got no answer": ("errors", pl.col("failed").sum(), pl.col("failed").is_not_null().sum()),
        "Answers from the backup model": (None, pl.col("is_fallback").sum(), pl.len()),
        "Failed look-ups": (
            "tools",
            pl.col("tool_errors").filter(JUDGED).sum(),
            pl.col("tool_calls").filter(JUDGED).sum(),
        ),
        "Drafts that agents rewrote": (
            "overrides",
            pl.col("overridden").sum(),
            pl.col("overridden").is_not_null().sum(),
        ),
    }
