"""Verification: can a brief be made again from its case, and if not, what differs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from incident_kit.briefs import briefrecord
from incident_kit.briefs.whatif import numbers_of
from incident_kit.errors import UnreadableFile
from incident_kit.optimization.tuning import sweep
from incident_kit.policies.policy import Policy
from incident_kit.policies.versionspans import instant
from incident_kit.scoring.scorecard import Board, compare
from incident_kit.words import label

if TYPE_CHECKING:
    from collections.abc import Callable

    from incident_kit.incident import Incident

MOST = 20  # differences that are listed one by one
LARGEST = 64_000_000  # bytes of a page
CLOSE = 1e-5  # of a number: what may lie between two processors
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NEEDED = {
    "loads": list, "policies": dict, "draws": int, "seed": int, "metrics": list, "scorecard": dict, "transitions": dict,
    "phases": list, "settings": dict, "versions": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Verification:
    """What became of making a brief again: ``differences`` in what it shows, ``notes`` on what else is not as it was."""

    page: str
    differences: tuple[str, ...]
    notes: tuple[str, ...]
    scores: int
    switches: int

    @property
    def is_same(self) -> bool:
        """Whether every number and switch came out again."""
        return not self.differences

    @property
    def exit_code(self) -> int:
        """0: made again; 1: something differs."""
        return 0 if self.is_same else 1

    def __str__(self) -> str:
        if self.is_same:
            head = f"{self.page} can be made again: {self.scores:,} scores and {self.switches:,} switches came out the same."
        else:
            head = f"{self.page} cannot be made again from this case; {len(self.differences)} differences:"
        shown = [f"- {one}" for one in self.differences[:MOST]]
        if len(self.differences) > MOST:
            shown.append(f"- and {len(self.differences) - MOST} more")
        return "\n".join([head, *shown, *(f"(not as it was: {note})" for note in self.notes)])


def read_record(page: str | Path) -> dict[str, Any]:
    """Return the record that a brief carries.

    Raises
    ------
    UnreadableFile
        The file is missing, no brief, or a brief without a record.
    """
    path = Path(page)
    if path.suffix.lower() in {".pdf", ".eml", ".md"}:
        raise UnreadableFile(
            f"{path} carries no record to verify: only the page does; incident-kit brief CASE --out brief.html"
        )
    try:
        if path.stat().st_size > LARGEST:
            raise UnreadableFile(f"{path} is no brief: it has more than {LARGEST:,} bytes")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is not text'}") from None
    reader = _Reader()
    reader.feed(text)
    try:
        found = json.loads("".join(reader.found))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("kind") != briefrecord.KIND:
        raise UnreadableFile(f"{path} carries no record to verify; briefs of this version do: incident-kit brief CASE")
    bad = [name for name, kind in _NEEDED.items() if not isinstance(found.get(name), kind)]
    if bad:
        raise UnreadableFile(f"{path}: its record is damaged: {', '.join(bad)} missing or of another kind")
    return found


class _Reader(HTMLParser):
    """Reads the text of the script that holds the record."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag == "script" and dict(attrs).get("id") == "record"

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002 - whatever ends, no script is open after it
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found.append(data)


def verify(page: str | Path, incident: Incident, *, progress: Callable[[str], None] | None = None) -> Verification:
    """Return what differs when the policies in a brief are replayed anew over its case.

    The policies are those that the brief carries, with the values that they implied then; those of the case are compared
    with them as text. Numbers are the same when they agree to five digits.

    Raises
    ------
    UnreadableFile
        The page carries no record, or one that is damaged.
    InvalidPolicy
        A policy in the record cannot be used any more.
    """
    said = read_record(page)
    differences = [*_loads(said["loads"], briefrecord.loads(incident))]
    differences += _differing("phases", said["phases"], briefrecord.phases(incident))
    differences += _differing("settings", said["settings"], json.loads(json.dumps(briefrecord.settings(incident))))
    notes = [
        f"{name} was {label(str(was))}, is {now}"
        for name, was in said["versions"].items()
        if (now := briefrecord.versions().get(name)) != was
    ]
    policies = [_policy(one, name) for name, one in said["policies"].items()]
    held = {one.name: one for one in (*incident.policies, *([incident.in_force] if incident.in_force else []))}
    notes += [
        f"policy {label(one.name)} of the case is another one now"
        for one in policies
        if one.name in held and held[one.name].expand() != one.expand()
    ]
    if progress is not None:
        progress("replaying what the brief says")
    board = _board(said, incident, policies)
    scores, switches = briefrecord.scorecard(board), briefrecord.transitions(board)
    differences += _rows("score", said["scorecard"], scores, keys=("policy", "intent", "metric"))
    differences += _rows(
        "switch", said["transitions"], switches, keys=("at", "policy", "route", "breaker", "from", "to")
    )
    differences += _swept(said, incident, policies, board)
    return Verification(
        label(Path(page).name), tuple(differences), tuple(notes), len(scores["rows"]), len(switches["rows"])
    )


def _swept(said: Mapping[str, Any], incident: Incident, policies: list[Policy], board: Board) -> Iterator[str]:
    """Yield what is otherwise when the settings of the slider are replayed again."""
    recipe = said.get("sweep")
    if not recipe:
        return
    policy = next((one for one in policies if isinstance(recipe, dict) and one.name == recipe.get("policy")), None)
    grid = recipe.get("grid") if policy is not None else None
    if policy is None or not isinstance(grid, dict) or not all(isinstance(one, list) for one in grid.values()):
        raise UnreadableFile("the record is damaged: its settings are of no policy that it has")
    found = sweep(
        incident, policy, grid, metrics=[str(name) for name in recipe.get("metrics", ())], during=board.during,
        by="intent" if recipe.get("by") else None, draws=min(max(int(recipe.get("draws", 0)), 0), 1000), seed=board.seed,
    )  # fmt: skip
    columns = ["setting", *grid, "intent", "metric", "estimate", "low", "high"]
    was, now = ({"columns": columns, "rows": rows} for rows in (recipe.get("scores"), numbers_of(found, list(grid))))
    yield from _rows("setting", was, now, keys=("setting", "intent", "metric"))


def _policy(said: Any, name: str) -> Policy:
    text = said.get("text") if isinstance(said, dict) else None
    if not isinstance(text, str):
        raise UnreadableFile("the record is damaged: a policy in it has no text")
    policy = replace(Policy.parse(text, name=name, source=f"policy {label(name)} of the record"), name=name)
    started = (
        said.get("degraded_start") or []
    )  # what the language has no word for: a baseline that begins on the backup
    routes = tuple(replace(one, degraded_start=True) if i in started else one for i, one in enumerate(policy.routes))
    times = said.get("times")
    if times is None:
        return replace(policy, routes=routes)
    try:
        return replace(policy, routes=_timed(routes, times["routes"]), alerts=_timed(policy.alerts, times["alerts"]))
    except (TypeError, ValueError, LookupError):
        raise UnreadableFile(f"the record is damaged: the times of policy {label(name)} are none") from None


def _timed(parts: tuple[Any, ...], times: list[list[str | None]]) -> tuple[Any, ...]:
    """Return routes or alerts with their names and the times in which they were in force."""
    return tuple(
        replace(
            one,
            name=str(name),
            **{key: end and instant(end, "it") for key, end in (("since", since), ("until", until))},
        )
        for one, (name, since, until) in zip(parts, times, strict=True)
    )


def _board(said: Mapping[str, Any], incident: Incident, policies: list[Policy]) -> Board:
    spans = said.get("during")
    during: Any = None
    if spans is not None:
        try:
            instants = [tuple(_EPOCH + timedelta(microseconds=int(end)) for end in span) for span in spans]
            during = "healthy" if len(instants) > 1 else (instants[0][0], instants[0][1])
        except (TypeError, ValueError, IndexError, OverflowError):
            raise UnreadableFile("the record is damaged: the span that it scores is none") from None
    metrics = [str(name) for name in said["metrics"]]
    draws = min(max(int(said["draws"]), 0), 1000)
    return compare(incident, policies, during=during, metrics=metrics, draws=draws, seed=int(said["seed"]))


def _loads(was: list[Any], now: list[dict[str, Any]]) -> Iterator[str]:
    def by_hash(rows: list[Any]) -> dict[str, Any]:
        return {str(one.get("sha256")): one for one in rows if isinstance(one, dict)}

    before, after = by_hash(was), by_hash(now)
    for key, one in before.items():
        name = label(str(one.get("file")))
        if key not in after:
            yield f"file {name} ({key[:12]}) is not among what the case loads now"
        else:
            yield from (
                f"file {name}: {field} was {one.get(field)}, is {after[key][field]}"
                for field in briefrecord.COUNTED
                if one.get(field) != after[key][field]
            )
    for key in after.keys() - before.keys():
        yield f"file {label(after[key]['file'])} ({key[:12]}) is loaded now, and was not"


def _differing(what: str, was: Any, now: Any) -> list[str]:
    if isinstance(was, dict) and isinstance(now, dict):
        keys = [key for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key)]
        return [f"{what}: {label(key)} was {_short(was.get(key))}, is {_short(now.get(key))}" for key in keys]
    return [] if was == now else [f"{what}: {_short(was)} then, {_short(now)} now"]


def _short(value: Any) -> str:
    return label(json.dumps(value, ensure_ascii=False, default=str), longest=90)


def _rows(what: str, was: Mapping[str, Any], now: Mapping[str, Any], *, keys: tuple[str, ...]) -> Iterator[str]:
    """Yield the rows of a recorded table that are missing now, new, or have other numbers."""
    before, after = _keyed(was, keys), _keyed(now, keys)
    for key, row in before.items():
        named = f"{what} {', '.join(label(str(part)) for part in key[:-1] if part is not None)}"
        if key not in after:
            yield f"{named} did not come out again"
            continue
        other = after[key]
        for name, value in row.items():
            if not _same(value, other.get(name)):
                yield f"{named}: {label(name)} was {_short(value)}, is {_short(other.get(name))}"
    for key in after.keys() - before.keys():
        yield f"{what} {', '.join(label(str(part)) for part in key[:-1] if part is not None)} is new"


def _keyed(table: Mapping[str, Any], keys: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return rows by their keys and, of rows with the same keys, their number."""
    columns, rows = table.get("columns"), table.get("rows")
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise UnreadableFile("the record is damaged: a table in it has no columns or rows")
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    seen: dict[tuple[str, ...], int] = {}
    for row in rows:
        one = dict(zip(map(str, columns), row, strict=False)) if isinstance(row, list) else {}
        key = tuple(str(one.get(name)) for name in keys)
        seen[key] = seen.get(key, 0) + 1
        found[*key, seen[key]] = one
    return found


def _same(was: Any, now: Any) -> bool:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (was, now))
    return math.isclose(was, now, rel_tol=CLOSE, abs_tol=1e-9) if numbers else was == now
