"""Simulation: a scenario written as a case folder: the gateway's log, the help desk's exports, and the truth behind them."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from incident_kit.asked import Decision, Owner
from incident_kit.case import FILE, read_case
from incident_kit.errors import IncidentKitError, InvalidScenario, UnwritableFile, did_you_mean
from incident_kit.outfiles.filenames import distinct
from incident_kit.outfiles.outputs import whole, write_whole
from incident_kit.policies.policy import Policy
from incident_kit.scenarios.desk import Desk
from incident_kit.scenarios.litellmlog import litellm_records
from incident_kit.scenarios.played import Played, play
from incident_kit.scenarios.scenario import Scenario, since
from incident_kit.scenarios.truth import Truth, draw_truth

FORMATS = ("litellm_standard", "canonical", "canonical_parquet")
_REQUESTS = "requests"
_ATTEMPTS = (
    "attempt_id", "request_id", "seq", "kind", "target", "sent_at", "first_token_at", "done_at", "latency_ms", "status",
    "error_class", "prompt_tokens", "completion_tokens", "cost_usd", "tools_offered", "tool_calls", "tool_errors",
    "tool_result_at",
)  # fmt: skip
_TICKETS = (
    "ticket_id", "created_at", "first_reply_at", "solved_at", "priority", "channel", "intent", "reopens",
)  # fmt: skip


def simulate(
    scenario: Scenario | str | Path,
    directory: str | Path,
    *,
    policy: Policy | str | Path | None = None,
    formats: Sequence[str] = ("litellm_standard",),
    truth: bool = True,
    replace: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Return a folder that holds the scenario as a case: open it with :func:`incident_kit.open_case`.

    It holds ``incident.yaml``, ``logs/``, ``helpdesk/`` (overrides, tickets, ticket events, Zendesk metric events) and
    ``truth/``: every target's potential outcome for every request. The same scenario gives the same bytes.

    Parameters
    ----------
    policy
        The policy in force that made the log; by default the scenario's ``in_force``.
    formats
        ``litellm_standard``, ``canonical`` (NDJSON), ``canonical_parquet``; only the first is listed in ``incident.yaml``.
    truth
        Whether to write the potential outcomes.
    replace
        Whether a simulated case that is there already is made anew; one beside its own scenario always is.

    Raises
    ------
    InvalidScenario
        The scenario or the policy in force cannot be used.
    UnwritableFile
        The folder holds a case already, or something else.
    """
    say = progress or (lambda _text: None)
    script = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
    if not formats or (unknown := set(formats) - set(FORMATS)):
        named = min(unknown) if formats else ""
        raise InvalidScenario(
            f"there is no log format {named!r}{did_you_mean(named, FORMATS)}; there are {', '.join(FORMATS)}"
        )
    in_force = _in_force(script, policy)
    folder = Path(directory)
    _check_folder(folder, script, replace=replace)
    say("drawing what every model would have done")
    it = draw_truth(script)
    if not len(it):
        raise InvalidScenario(
            "nobody asks anything in this scenario: give some intent a higher per_minute, or it more time"
        )
    say("playing the policy in force (the first replay compiles the kernel: about a minute, once)")
    played = play(it, in_force)
    say(f"writing {folder}")
    logs = [_write_log(folder, played, name) for name in formats]
    sources = [*logs[0], *_write_desk(folder, played)]
    if truth:
        _gzip(folder / "truth" / "calls.csv.gz", _csv(_truth_rows(it)))
    paths = _write_policies(folder, script, in_force)
    _write(folder / FILE, _case_text(script, sources, paths))
    return folder


def _in_force(script: Scenario, policy: Policy | str | Path | None) -> Policy:
    """Return the policy in force, the others having been read once too."""
    if policy is None and not script.in_force:
        raise InvalidScenario(
            "the scenario names no policy in force: add `in_force: policies/blind.yaml`, or pass policy="
        )
    root = script.file.parent if script.file else Path()
    try:
        if policy is None:
            policy = root / script.in_force
        in_force = policy if isinstance(policy, Policy) else Policy.load(policy)
        for path in script.policies:
            Policy.load(root / path)
        named = {Path(path).name for path in {script.in_force, *script.policies} - {""}}
        if len(named) < len({script.in_force, *script.policies} - {""}):
            raise InvalidScenario("two policy files have the same name: a case keeps them in one folder")
    except IncidentKitError as error:
        raise InvalidScenario(f"a policy of the scenario cannot be used: {error}") from None
    return in_force


def _is_own(folder: Path, script: Scenario) -> bool:
    """Return whether the folder is the one that the scenario lies in."""
    return script.file is not None and script.file.parent.resolve() == folder.resolve()


def _check_folder(folder: Path, script: Scenario, *, replace: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise UnwritableFile(f"{folder} is a file; name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not _is_own(folder, script):
        try:
            ours = read_case(folder).simulated
        except IncidentKitError:
            ours = False
        if not ours:
            raise UnwritableFile(f"{folder} is there already and is no simulated case; give a new name")
        if not replace:
            raise UnwritableFile(
                f"{folder} holds a simulated case already; give a new name, or make it anew with replace=True"
            )


def _write_log(folder: Path, played: Played, name: str) -> list[Mapping[str, str]]:
    """Write the gateway's log and return its entries of ``sources``."""
    if name == "litellm_standard":
        lost = played.requests.filter(attempts_logged=0).height
        if lost:
            raise InvalidScenario(
                f"litellm_standard has no record of the {lost:,} requests that ended without a call; pass formats=['canonical']"
            )
        _gzip(folder / "logs" / "standard_logging.ndjson.gz", _ndjson(litellm_records(played)))
        return [{"path": "logs/standard_logging.ndjson.gz", "format": name}]
    tables = {_REQUESTS: played.requests.drop("done_at", "answered"), "attempts": played.attempts.select(_ATTEMPTS)}
    suffix = "parquet" if name == "canonical_parquet" else "ndjson.gz"
    for table, frame in tables.items():
        file = folder / "logs" / f"{table}.{suffix}"
        if suffix == "parquet":
            file.parent.mkdir(parents=True, exist_ok=True)
            with whole(file) as beside:
                frame.write_parquet(beside, compression="zstd")
        else:
            _gzip(file, _ndjson(frame.iter_rows(named=True)))
    return [{"path": f"logs/{table}.{suffix}", "format": "canonical"} for table in tables]


def _write_desk(folder: Path, played: Played) -> list[Mapping[str, str]]:
    desk = Desk(played)
    there = {
        "overrides.csv.gz": ("overrides", _csv(desk.overrides)),
        "tickets.csv.gz": ("canonical", _csv(desk.tickets.select(_TICKETS))),
        "ticket_events.csv.gz": ("canonical", _csv(desk.ticket_events)),
        "metric_events.ndjson.gz": ("zendesk_events", _ndjson(desk.metric_events())),
    }
    rows = {"overrides.csv.gz": desk.overrides, "ticket_events.csv.gz": desk.ticket_events}
    written: list[Mapping[str, str]] = []
    for name, (source, text) in there.items():
        if rows.get(name, desk.tickets).height:
            _gzip(folder / "helpdesk" / name, text)
            written.append({"path": f"helpdesk/{name}", "format": source})
    return written


def _truth_rows(it: Truth) -> pl.DataFrame:
    """Return the potential outcomes, one row a request, target and attempt."""
    targets, attempts, size = it.calls.shape
    calls = it.calls.transpose(2, 0, 1).ravel()
    answered = pl.Series(calls["error"] == 0)
    columns = {
        "request_id": it.requests["request_id"].gather(np.repeat(np.arange(size), targets * attempts)),
        "target": pl.Series(it.targets).gather(np.tile(np.repeat(np.arange(targets), attempts), size)),
        "attempt": np.tile(np.arange(1, attempts + 1), size * targets),
        "latency_ms": calls["latency_ms"],
        "error_class": pl.Series(it.errors).gather(calls["error"].astype(np.int64)),
        "tool_calls": calls["tool_calls"],
        "tool_errors": calls["malformed"] + calls["failing"],
        "completion_tokens": calls["completion_tokens"],
        "overridden": calls["overridden"].astype(np.int8),
        "overridden_without_tools": calls["overridden_without_tools"].astype(np.int8),
    }
    frame = pl.DataFrame(columns | {"answered": answered})
    blank = ("tool_calls", "tool_errors", "completion_tokens", "overridden", "overridden_without_tools")
    return frame.with_columns(
        pl.when(~pl.col("answered")).then("error_class").alias("error_class"),
        *(pl.when("answered").then(name).alias(name) for name in blank),
    ).drop("answered")


def _write_policies(folder: Path, script: Scenario, in_force: Policy) -> tuple[str, list[str]]:
    """Return the paths of the policies in ``incident.yaml``: where they lie, or copies in ``policies/``."""
    own = _is_own(folder, script)
    root = script.file.parent if script.file else Path()
    known = sorted({script.in_force, *script.policies} - {""})
    # policies of other folders may be called the same
    copies = dict(zip(known, distinct(Path(path).name for path in known), strict=True))
    if not own:
        text = script.file.read_text(encoding="utf-8") if script.file else ""
        for path, name in copies.items():
            _write(folder / "policies" / name, (root / path).read_text(encoding="utf-8"))
        if known:  # all at once, and whole paths only: one may be part of another
            paths = "|".join(map(re.escape, sorted(known, key=len, reverse=True)))
            text = re.sub(rf"(?<![\w./-])({paths})(?![\w./-])", lambda it: f"policies/{copies[it[1]]}", text)
        if text:
            _write(folder / "scenario.yaml", text)
    place = {path: path if own else f"policies/{name}" for path, name in copies.items()}
    force = place.get(script.in_force, "")
    if not force or Policy.load(root / script.in_force) != in_force:
        force = f"policies/{distinct([*copies.values(), 'in-force.yaml'])[-1]}"
        (folder / "policies").mkdir(parents=True, exist_ok=True)
        in_force.save(folder / force)
    return force, [place[path] for path in script.policies]


def _case_text(script: Scenario, sources: Iterable[Mapping[str, str]], policies: tuple[str, list[str]]) -> str:
    """Return ``incident.yaml``."""
    lines = [
        "# Simulated, every row of it: made by `incident-kit simulate` from scenario.yaml. Nothing in it came from a user.",
        f"title: {_text(script.title)}",
        "simulated: true",
        f"zone: {_text(script.zone)}",
        f"slow_ms: {script.slow_ms}",
        "",
        "sources:",
        *(f"- {{path: {_text(one['path'])}, format: {one['format']}}}" for one in sources),
        "",
        *(["phases:   # from the script"] if _phases(script) else []),
    ]
    for kind, at, until, text in _phases(script):
        end = f", until: {_instant(until)}" if until else ""
        said = f", text: {_text(text)}" if text else ""
        lines.append(f"- {{kind: {kind}, at: {_instant(at)}{end}{said}}}")
    lines += [""] if script.decision or script.owners else []
    lines += [f"decision: {_entry(script.decision)}"] if script.decision else []
    lines += ["owners:", *(f"- {_entry(one)}" for one in script.owners)] if script.owners else []
    in_force, others = policies
    lines += ["", f"in_force: {_text(in_force)}"]
    if others:
        lines.append(f"policies: [{', '.join(map(_text, others))}]")
    lines += ["", "prices:   # US dollars for a million tokens"]
    for name, target in script.targets.items():
        lines.append(f"  {_text(name)}: {{input: {target.price[0]:g}, output: {target.price[1]:g}}}")
    return "\n".join(lines) + "\n"


def _phases(script: Scenario) -> list[tuple[str, datetime, datetime | None, str]]:
    def at(moment: int | datetime) -> datetime:
        return script.start + timedelta(microseconds=since(moment, script.start))

    if script.phases:
        return [(one.kind, at(one.at), at(one.until) if one.until else None, one.text) for one in script.phases]
    if not script.degradations:
        return []
    ends = [at(one.until) + timedelta(milliseconds=one.recovery) for one in script.degradations]
    text = "; ".join(one.text for one in script.degradations if one.text)
    return [("impact", min(at(one.start) for one in script.degradations), max(ends), text)]


def _entry(of: Decision | Owner) -> str:
    """Return a decision or an owner as YAML; days stay days."""
    return f"{{{', '.join(f'{key}: {_day(value)}' for key, value in asdict(of).items() if value)}}}"


def _day(value: date | str) -> str:
    day = value.isoformat() if isinstance(value, date) else value
    return day if re.fullmatch(r"\d{4}-\d\d-\d\d", day) else _text(day)


def _text(value: str) -> str:
    """Return a YAML scalar: plain where that is safe, else in quotes."""
    plain = value.replace("_", "").replace("-", "").replace("/", "").replace(".", "").replace(" ", "")
    return (
        value if plain.isascii() and plain.isalnum() and value[0].isalpha() else json.dumps(value, ensure_ascii=False)
    )


def _instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


_JSON = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=_instant)


def _ndjson(records: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for record in records:
        known = {name: value for name, value in record.items() if value is not None or name in {"cache_hit", "stream"}}
        yield _JSON.encode(known) + "\n"


def _csv(frame: pl.DataFrame) -> Iterable[str]:
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(frame.columns)
    for row in frame.iter_rows():
        rows.writerow(
            ["" if value is None else _instant(value) if isinstance(value, datetime) else value for value in row]
        )
    return [text.getvalue()]


def _gzip(file: Path, parts: Iterable[str]) -> None:
    """Write text, compressed: the same text gives the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        whole(file) as beside,
        beside.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", compresslevel=6, mtime=0) as packed,
    ):
        for part in parts:
            packed.write(part.encode())


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, text)
