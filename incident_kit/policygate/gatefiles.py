"""Gate files: what a gate found as JSON, as JUnit's XML and as text, whatever names a log brings."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from incident_kit.policygate.gates import ERROR, NOTHING, Gate, Held
from incident_kit.policygate.gatewords import HELP, about, reason, shown, without_phase
from incident_kit.policygate.verdicts import CANNOT_TELL, FAILS, NOT_IN_LOG, PASSES
from incident_kit.words import label

if TYPE_CHECKING:
    from collections.abc import Iterator

# what XML 1.0 cannot hold, not even escaped
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LONGEST = 400


def as_json(gate: Gate) -> str:
    """Return verdict, exit code and every incident with its limits and the requests that move."""
    said = {
        "verdict": gate.verdict,
        "exit_code": gate.exit_code,
        "policy": gate.policy.name,
        "incidents": [_incident(one) for one in gate.held],
    }
    return json.dumps(said, indent=1, allow_nan=False) + "\n"


def _incident(held: Held) -> dict[str, Any]:
    moves = held.moves
    return {
        "incident": held.name,
        "outcome": held.outcome,
        "error": held.error or None,
        "title": held.title,
        "requests": held.requests,
        "healthy_hours": round(held.healthy_hours, 3),
        "simulated": held.is_simulated,
        "in_force": held.in_force and held.in_force.name,
        "limits": [_finite(row) for row in held.rows.iter_rows(named=True)],
        "moved_requests": moves and moves.moved,
        "moves": [vars(one) for one in moves.kinds] if moves else [],
        "caveats": list(held.caveats),
    }


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and not abs(value) < float("inf") else value
        for name, value in row.items()
    }


def as_junit(gate: Gate) -> str:
    """Return JUnit's XML: a suite an incident, a case a limit."""
    root = ET.Element("testsuites", name=_xml(f"incident-kit check {gate.policy.name}"))
    total: dict[str, int] = {}
    for held in gate.held:
        suite = ET.SubElement(root, "testsuite", name=_xml(held.name))
        counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
        for name, kind, why in _cases(held):
            case = ET.SubElement(suite, "testcase", classname=_xml(held.name), name=_xml(name))
            counts["tests"] += 1
            if kind:
                ET.SubElement(case, kind, message=_xml(why)).text = _xml(why)
                counts[{"failure": "failures", "error": "errors", "skipped": "skipped"}[kind]] += 1
        suite.attrib.update({key: str(count) for key, count in counts.items()})
        total = {key: total.get(key, 0) + count for key, count in counts.items()}
    root.attrib.update({key: str(count) for key, count in total.items() if key != "skipped"})
    ET.indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _cases(held: Held) -> Iterator[tuple[str, str, str]]:
    if held.error:
        yield "the incident can be checked", "error", held.error
    elif held.rows.is_empty():
        yield NOTHING, "skipped", NOTHING
    for row in held.rows.iter_rows(named=True):
        kind = {FAILS: "failure", CANNOT_TELL: "error", NOT_IN_LOG: "skipped"}.get(row["verdict"], "")
        help_ = f". {HELP}" if row["verdict"] == CANNOT_TELL else ""
        yield about(row), kind, f"{row['verdict']}: {reason(row)}{help_}"


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)[:2000]


def as_text(gate: Gate) -> str:
    """Return the verdict, and for each incident what it came to; limits that hold are counted, the others told."""
    lines = [gate.verdict]
    for held in gate.held:
        passed = int((held.rows["verdict"] == PASSES).sum())
        counted = f" ({passed} limit{'s' * (passed != 1)} hold{'s' * (passed == 1)})" if passed else ""
        lines.append(f"{label(held.name)}: {held.outcome}{counted}")
        if held.outcome == ERROR:
            lines.append(f"  {label(held.error, longest=_LONGEST)}")
        rows, gone = without_phase(held.rows)
        lines += [f"  {one}" for one in gone]
        lines += [
            f"  {row['verdict']}: {about(row)}; {label(reason(row), longest=_LONGEST)}"
            for row in rows.iter_rows(named=True)
            if row["verdict"] != PASSES
        ]
    return "\n".join([*lines, *what_helps(gate)])


def what_helps(gate: Gate) -> Iterator[str]:
    """Yield what helps, where some limit cannot be told."""
    if any(CANNOT_TELL in set(held.rows["verdict"]) for held in gate.held):
        yield HELP


def table_rows(gate: Gate) -> Iterator[tuple[str, str, str, str, str, str]]:
    """Yield one row an incident and limit: incident, limit, policy, in force, verdict, why."""
    for held in gate.held:
        name = label(held.name)
        if held.rows.is_empty():
            yield name, "", "", "", held.outcome, label(held.error, longest=_LONGEST) if held.error else ""
        rows, gone = without_phase(held.rows)
        for one in gone:
            yield name, "", "", "", one, ""
        for row in rows.iter_rows(named=True):
            why = label(row["why"], longest=_LONGEST) if row["why"] else ""
            yield (
                name,
                about(row),
                shown(row, "policy"),
                shown(row, "in_force"),
                row["verdict"],
                why,
            )
