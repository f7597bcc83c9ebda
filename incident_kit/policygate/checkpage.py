"""The page of a check: Markdown for a pull request, in which nothing from a log or a policy can be markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from incident_kit.healthy import healthy_hours
from incident_kit.policies.policy import diff
from incident_kit.policies.policyversions import latest
from incident_kit.policies.policywords import sentence
from incident_kit.policygate.checking import THE_LOG, Check
from incident_kit.policygate.gatewords import HELP, of, shown
from incident_kit.policygate.moves import Move, moves
from incident_kit.policygate.verdicts import CANNOT_TELL, FAILS, NOT_IN_LOG, PASSES
from incident_kit.words import label, number

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy

MOST_CHANGES = 40
MARKS = {PASSES: "passes", FAILS: "**fails**", CANNOT_TELL: "**cannot tell**", NOT_IN_LOG: "not in this log"}
# what would be markup, a mention, a reference or a link; & first
_ENTITIES = {one: f"&#{ord(one)};" for one in "&<>|`*[]~#@\\!"}
_EMPHASIS = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def plain(text: str, *, longest: int = 400) -> str:
    """Return text from anywhere as one line that Markdown shows as it is.

    Examples
    --------
    >>> plain("a|b <script> @all"), plain("https://x")
    ('a&#124;b &#60;script&#62; &#64;all', 'https:&#47;&#47;x')
    """
    escaped = "".join(_ENTITIES.get(one, one) for one in label(text, longest=longest))
    escaped = _EMPHASIS.sub("&#95;", escaped)
    return escaped.replace("://", ":&#47;&#47;").replace("www.", "www&#46;")


def markdown(check: Check) -> str:
    """Return a check as Markdown: the verdict, a table of the limits, what differs in words, examples."""
    parts = [f"## {plain(check.verdict)}", _about(check), _table(check)]
    parts += [_differences(check), _examples(check), _caveats(check)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(check: Check) -> str:
    incident = check.incident
    hours = healthy_hours(incident)
    title = f"**{plain(incident.title)}**: " if incident.title else ""
    simulated = " Simulated." if incident.is_simulated else ""
    compared = (
        "Compared is with the log itself: no policy in force is named." if check.in_force is None
        else f"Compared is with the policy in force, replayed the same way: {plain(check.name)}."
    )  # fmt: skip
    healthy = f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
    return f"{title}{len(incident.log):,} requests, {healthy} of them outside the impact.{simulated} {compared}"


def _table(check: Check) -> str:
    lines = [
        "| limit | when | policy | in force | difference | verdict | rests on |",
        "| --- | --- | ---: | ---: | ---: | --- | --- |",
    ]
    for row in check.rows.iter_rows(named=True):
        seen = "decisions alone" if row["seen_share"] is None else f"{number(row['seen_share'], '%')} seen"
        why = plain(row["why"]) if row["why"] else seen
        lines.append(
            f"| {plain(row['metric'] + of(row))}: {plain(row['limit'])} | {plain(row['phase'])} | {shown(row, 'policy')} "
            f"| {shown(row, 'in_force')} | {shown(row, 'difference')} | {MARKS[row['verdict']]} | {why} |"
        )
    drawn = (
        "In brackets: between what nine draws in ten of the outcomes that the log does not hold lie. "
        "A limit passes, or fails, where nine in ten do; else that cannot be told."
    )
    help_ = f" {plain(HELP)}" if CANNOT_TELL in set(check.rows["verdict"]) else ""
    return "\n".join([*lines, "", drawn + help_])


def _differences(check: Check) -> str:
    return differences(check.policy, check.in_force)


def differences(policy: Policy, in_force: Policy | None) -> str:
    """Return what a policy changes against the one in force, route by route and key by key."""
    if in_force is None:
        said = [f"- {plain(line)}" for line in _sentences(policy).values()]
        return "\n".join(["### What the policy does", "", *said])
    in_force = latest(in_force)
    changes = list(diff(in_force, policy))
    if not changes:
        return "### What changes\n\nNothing: the two policies say the same."
    before, after = _sentences(in_force), _sentences(policy)
    lines = ["### What changes", ""]
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            lines.append(f"- **{plain(name)}**")
            lines.append(f"  - was: {plain(before[name]) if name in before else 'no such route'}")
            lines.append(f"  - now: {plain(after[name]) if name in after else 'no such route'}")
    lines += ["", "<details><summary>Key by key</summary>", ""]
    lines += [f"- {plain(str(change))}" for change in changes[:MOST_CHANGES]]
    if len(changes) > MOST_CHANGES:
        lines.append(f"- and {len(changes) - MOST_CHANGES} more")
    return "\n".join([*lines, "", "</details>"])


def _sentences(policy: Policy) -> dict[str, str]:
    return {route.name: sentence(route, alone=len(policy.routes) == 1) for route in policy.routes}


def _examples(check: Check) -> str:
    """Return a few requests that go elsewhere than before, the first of each kind."""
    found = moves(check)
    lines = ["### Decisions that change", "", found.said(plain(check.name))]
    others = others_line(found.moved - sum(one.requests for one in found.kinds))
    return "\n".join([*lines, *([""] if found.kinds else []), *map(move_line, found.kinds), *others])


def move_line(move: Move) -> str:
    """Return one kind of moved requests as a line of a list."""
    who = f"Route {plain(move.route)}" if move.route else "No route"
    said = plain(move.example, longest=1200)
    return f"- {who}: {move.requests:,} from {plain(move.before)} to {plain(move.now)}. One of them: {said}"


def others_line(count: int) -> list[str]:
    """Return how many requests move that no kind above has, as a line of the list, so that its numbers sum up."""
    return [f"- And {count:,} other{'s' * (count != 1)}."] if count else []


def _caveats(check: Check) -> str:
    said = list(check.replay.caveats)
    if check.name == THE_LOG:
        said.append("What is in force is taken from the log as it is, so trips outside the impact cannot be compared.")
    if not said:
        return ""
    return "\n".join(["### Before you believe it", "", *(f"- {plain(one)}" for one in said)])
