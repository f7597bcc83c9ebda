"""The page of a gate: Markdown for a pull request, as short as it can be and never longer than a comment may be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from incident_kit.policygate.checkpage import MARKS, differences, move_line, others_line, plain
from incident_kit.policygate.gates import ERROR, NOTHING, Gate, Held
from incident_kit.policygate.gatewords import HELP, of, shown, without_phase
from incident_kit.policygate.moves import Move
from incident_kit.policygate.verdicts import CANNOT_TELL, FAILS, PASSES
from incident_kit.words import number

if TYPE_CHECKING:
    from incident_kit.policies.policy import Policy

LONGEST = 60_000  # GitHub takes comments of 65,536 characters
_MARKS = {PASSES: "passes", FAILS: "**fails**", CANNOT_TELL: "**cannot tell**", ERROR: "**error**", NOTHING: NOTHING}
_HEAD = "| incident | limit | when | policy | in force | difference | verdict |\n| --- | --- | --- | ---: | ---: | ---: | --- |"


def markdown(gate: Gate) -> str:
    """Return verdict, incidents, limits that do not hold, what changes, which decisions move, and all limits folded away."""
    parts = [f"## {plain(gate.verdict)}", _incidents(gate), _broken(gate), *_changes(gate)]
    parts += [_moves(gate), _caveats(gate), _all(gate)]
    found, left = "", 0
    for part in filter(None, parts):
        if len(found) + len(part) > LONGEST:
            left += 1
        else:
            found += part + "\n\n"
    return found.rstrip("\n") + ("\n\nThis is shortened: `--json` has all of it.\n" if left else "\n")


def _incidents(gate: Gate) -> str:
    lines = [
        "| incident | requests | compared with | limits that hold | moved requests | verdict |",
        "| --- | ---: | --- | ---: | ---: | --- |",
    ]
    for one in gate.held:
        simulated = " (simulated)" if one.is_simulated else ""
        judged = one.rows.filter(one.rows["verdict"].is_in([PASSES, FAILS, CANNOT_TELL]))
        held = f"{judged.filter(verdict=PASSES).height} of {judged.height}" if not one.error else ""
        moved = f"{number(one.moves.moved / one.moves.requests, '%')}" if one.moves and one.moves.requests else ""
        requests, beside = ("", "") if one.error else (f"{one.requests:,}", plain(one.beside))
        lines.append(
            f"| {plain(one.name)}{simulated} | {requests} | {beside} | {held} | {moved} | {_MARKS[one.outcome]} |"
        )
    return "\n".join(lines)


def _rows(held: Sequence[Held], verdicts: Sequence[str] | None) -> list[str]:
    found = []
    for one in held:
        rows, gone = without_phase(one.rows)
        found += [f"| {plain(one.name)} | {plain(said)} | | | | | |" for said in gone if verdicts is None]
        found += [
            f"| {plain(one.name)} {_row(row)}"
            for row in rows.iter_rows(named=True)
            if verdicts is None or row["verdict"] in verdicts
        ]
    return found


def _row(row: dict[str, Any]) -> str:
    why = f": {plain(row['why'])}" if row["why"] else ""
    return (
        f"| {plain(row['metric'] + of(row))}: {plain(row['limit'])} | {plain(row['phase'])} | {shown(row, 'policy')} "
        f"| {shown(row, 'in_force')} | {shown(row, 'difference')} | {MARKS[row['verdict']]}{why} |"
    )


def _broken(gate: Gate) -> str:
    errors = [f"- {plain(one.name)}: {plain(one.error)}" for one in gate.of(ERROR)]
    rows = _rows(gate.held, (FAILS, CANNOT_TELL))
    parts = ["\n".join(["### What could not be checked", "", *errors])] if errors else []
    parts += ["\n".join(["### Limits that do not hold", "", _HEAD, *rows])] if rows else []
    parts += [plain(HELP)] if any(CANNOT_TELL in set(one.rows["verdict"]) for one in gate.held) else []
    return "\n\n".join(parts)


def _all(gate: Gate) -> str:
    rows = _rows(gate.held, None)
    if not rows:
        return ""
    said = (
        "In brackets: between what nine draws in ten of the outcomes that the logs do not hold lie. A limit passes, or fails, "
        "where nine in ten do; else that cannot be told."
    )
    return "\n".join(["<details><summary>All limits</summary>", "", _HEAD, *rows, "", said, "", "</details>"])


def _changes(gate: Gate) -> list[str]:
    """Return what the policy changes, once for each policy in force that it is held against."""
    kinds: list[tuple[Policy | None, list[str]]] = []
    for one in gate.held:
        if one.error:
            continue
        same = next(
            (names for force, names in kinds if force == one.in_force and _name(force) == _name(one.in_force)), None
        )
        if same is None:
            kinds.append((one.in_force, [one.name]))
        else:
            same.append(one.name)
    found = []
    for force, names in kinds:
        of = f"\n\nAgainst {plain(_name(force))}, in force on {plain(', '.join(names))}." if len(kinds) > 1 else ""
        found.append(differences(gate.policy, force) + of)
    return found


def _name(policy: Policy | None) -> str:
    return policy.name if policy else "the log itself"


def _moves(gate: Gate) -> str:
    """Return how many requests move, over all incidents, and the largest kinds with an example each."""
    told = [(one, one.moves) for one in gate.held if one.moves is not None]
    moved, every = sum(moves.moved for _, moves in told), sum(moves.requests for _, moves in told)
    if not told:
        return ""
    lines = ["### Decisions that change", ""]
    if not moved:
        return "\n".join([*lines, "None: every request is answered by the same model as before."])
    lines += [
        f"{moved:,} of {every:,} requests ({number(moved / every, '%')}) are answered by another model than before.",
        "",
    ]
    kinds: dict[tuple[str | None, str, str], list[tuple[Held, Move]]] = {}
    for held, moves in told:
        for move in moves.kinds:
            kinds.setdefault((move.route, move.before, move.now), []).append((held, move))
    told_of = 0
    for same in sorted(kinds.values(), key=lambda one: -sum(move.requests for _, move in one))[:5]:
        held, first = max(same, key=lambda one: one[1].requests)
        total = Move(first.route, first.before, first.now, sum(move.requests for _, move in same), first.example)
        lines.append(move_line(total) + f" ({plain(held.name)})")
        told_of += total.requests
    lines += others_line(moved - told_of)
    return "\n".join(lines)


def _caveats(gate: Gate) -> str:
    said: dict[str, list[str]] = {}
    for one in gate.held:
        for caveat in one.caveats:
            said.setdefault(caveat, []).append(one.name)
    if not said:
        return ""
    lines = [f"- {plain(caveat)} ({plain(', '.join(names))})" for caveat, names in said.items()]
    return "\n".join(["<details><summary>Before you believe it</summary>", "", *lines, "", "</details>"])
