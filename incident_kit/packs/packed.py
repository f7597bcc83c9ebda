"""Packed: an incident out of the folder that :func:`incident_kit.pack` wrote, each file held against its hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl

from incident_kit.errors import IncidentKitError, InvalidPack
from incident_kit.packs import packlayout
from incident_kit.packs.pseudonyms import spelt
from incident_kit.policies.policy import Policy
from incident_kit.policies.policyfile import file_text
from incident_kit.policies.policyversions import Version, Versions, versions
from incident_kit.scenarios.truth import put
from incident_kit.servicelevels.schedules import Schedule
from incident_kit.servicelevels.slarules import SlaRules
from incident_kit.servicelevels.slasettings import SlaSettings

if TYPE_CHECKING:
    from incident_kit.incident import Incident

MANIFEST = "pack.json"
FORMAT = 1
TABLES = (
    "requests", "attempts", "feedback", "tickets", "sla", "sla_targets", "sla_events", "ticket_events", "actors", "schedules",
    "schedule_windows", "schedule_holidays", "signals", "annotations", "loads",
)  # fmt: skip
FILES = (*TABLES, "lots", "marks")
KINDS = {  # a column of ids, and what its numbers are of
    "request_id": "request", "conversation_id": "conversation", "ticket_id": "ticket", "actor_id": "actor",
    "deployment_id": "deployment", "policy_name": "policy",
}  # fmt: skip
_COLUMN = {"actor": "actor", "deployment": "deployment", "policy": "policy"}  # named otherwise in the store
_STORED = {"ticket_events": {"actor_id": "actor"}, "attempts": {"deployment_id": "deployment"}}
_LARGEST_MANIFEST = 10_000_000
_UNFINISHED = "unfinished"


def write(folder: Path, manifest: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> None:
    """Write tables and the manifest, which holds their hashes, into a new folder."""
    folder.mkdir()
    files = {}
    for name, frame in tables.items():
        file = folder / f"{name}.parquet"
        packlayout.write(frame, file)
        files[name] = {"rows": frame.height, "bytes": file.stat().st_size, "sha256": _sha256(file.read_bytes())}
    whole = {"pack": FORMAT, "made_by": f"incident-kit {version('incident-kit')}", **manifest, "files": files}
    text = json.dumps(whole | {"sha256": _seal(whole)}, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8", newline="\n")


def replace_files(folder: Path, by: Path) -> None:
    """Put the files of a new pack into a folder that is there; what else lies in it stays.

    Until all are in their place the manifest says so: a folder in which this was broken off can be told, and packed anew.
    """
    begun = by / f"{MANIFEST}.begun"
    begun.write_text(json.dumps({"pack": FORMAT, _UNFINISHED: True}), encoding="utf-8", newline="\n")
    begun.replace(folder / MANIFEST)
    for name in FILES:
        (folder / f"{name}.parquet").unlink(missing_ok=True)
    for file in sorted(by.iterdir(), key=lambda one: one.name == MANIFEST):
        file.replace(folder / file.name)


def is_pack(path: str | Path) -> bool:
    """Return whether a path is a pack's folder, or its manifest."""
    path = Path(path)
    if not path.is_dir():
        return path.name == MANIFEST and path.is_file()
    return any(
        (path / name).is_file() for name in (MANIFEST, "requests.parquet")
    )  # without one of them it is a damaged one


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Return what a pack's ``pack.json`` says.

    Raises
    ------
    InvalidPack
        There is none, it is not one, it was changed, or a newer kit wrote it.
    """
    file = Path(folder) if Path(folder).name == MANIFEST else Path(folder) / MANIFEST
    try:
        if file.stat().st_size > _LARGEST_MANIFEST:
            raise InvalidPack(f"{file} is too large for what a pack says of itself")
        said = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidPack(f"{file} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise InvalidPack(f"{file} is not what `incident-kit pack` writes: it is cut short, or no JSON") from None
    if not isinstance(said, dict) or "pack" not in said:
        raise InvalidPack(f"{file} is not what `incident-kit pack` writes")
    if said["pack"] != FORMAT:
        other = str(said["pack"])[:20]
        raise InvalidPack(f"{file} is of pack format {other}; this kit reads {FORMAT}: install the kit that wrote it")
    if _UNFINISHED in said:
        raise InvalidPack(f"{file.parent} is only half there, its writing was broken off: pack the incident anew")
    if said.get("sha256") != _seal({name: value for name, value in said.items() if name != "sha256"}):
        raise InvalidPack(f"{file} was changed after it was written: pack the incident anew, or get the file back")
    return said


def open_pack(folder: str | Path) -> Incident:
    """Return the incident that a pack holds, in memory.

    Raises
    ------
    InvalidPack
        A file is missing, cut short, or not the one that was written.
    """
    from incident_kit.incident import Incident

    said = read_manifest(folder)
    root = Path(folder).parent if Path(folder).name == MANIFEST else Path(folder)
    try:
        tables = {name: packlayout.instants(_table(root, name, file)) for name, file in said["files"].items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise InvalidPack(f"{root / MANIFEST} does not list its files as a pack does: {error}") from None
    incident = Incident.create()
    try:
        _fill(incident, tables, said)
        _say(incident, said)
    except IncidentKitError as error:
        incident.store.close()
        raise InvalidPack(f"{root}: {error}") from None
    except (pl.exceptions.PolarsError, duckdb.Error, LookupError, TypeError, ValueError, AttributeError) as error:
        incident.store.close()
        raise InvalidPack(f"{root} does not hold what a pack holds: {str(error).splitlines()[0][:200]}") from None
    except BaseException:
        incident.store.close()
        raise
    return incident


def _table(root: Path, name: str, said: Mapping[str, Any]) -> pl.DataFrame:
    if name not in FILES:
        raise InvalidPack(f"{root} lists a table {name[:40]!r}, which no pack has")
    file = root / f"{name}.parquet"
    try:
        if file.exists() and not file.is_file():
            raise InvalidPack(f"{file} is no file")
        with file.open("rb") as stream:
            content = stream.read(abs(said["bytes"]) + 1)  # a link to what never ends is not read to its end
    except OSError as error:
        raise InvalidPack(f"{file} cannot be read: {error.strerror or error}") from None
    if _sha256(content) != said["sha256"]:
        why = "its content was changed"
        if content.startswith(b"version https://git-lfs"):
            why = "it is a pointer of Git LFS; get the file with `git lfs pull`"
        elif len(content) != said["bytes"]:
            why = f"it has {len(content):,} bytes, {said['bytes']:,} were written"
        raise InvalidPack(f"{file} is not the file that was written: {why}")
    try:
        frame = pl.read_parquet(content)
    except pl.exceptions.PolarsError as error:
        raise InvalidPack(f"{file} is no Parquet file: {str(error).splitlines()[0][:200]}") from None
    return frame


def _fill(incident: Incident, tables: dict[str, pl.DataFrame], said: Mapping[str, Any]) -> None:
    """Put a pack's tables into an incident's store."""
    requests = packlayout.arrived(tables["requests"])
    tables = tables | {"requests": packlayout.priced(requests)}
    if "attempts" in tables:
        tables["attempts"] = packlayout.priced(packlayout.lengthened(tables["attempts"], requests))
    marks, lots = tables.pop("marks", None), tables.pop("lots", None)
    if sum(said["pseudonyms"]["counts"].values()) > len(KINDS) * sum(frame.height for frame in tables.values()):
        raise InvalidPack("pack.json counts more ids than the tables have room for")
    names = {kind: _names(kind, count, marks) for kind, count in said["pseudonyms"]["counts"].items()}
    loads = tables.pop("loads", None)
    store = incident.store
    with store.transaction():
        store.run("insert into meta values ('pack', $labels)", {"labels": json.dumps(said["labels"])})
        for name, frame in tables.items():
            put(store, name, _named(frame, names, name))
        if lots is not None:
            words = lots.unpivot(index="request", variable_name="what", value_name="word")
            put(store, "lots", _named(words, names, "lots"))
        if loads is not None:
            at = pl.lit(datetime.fromisoformat(said["last"] or "1970-01-01T00:00:00+00:00"))
            more = {"path": pl.lit(""), "sha256": pl.lit(""), "loaded_at": at}
            put(store, "loads", loads.drop("answers").with_columns(**more))
            answers = [
                (question, *answer, answer[0], _at_best(question, *answer))
                for question, answer in said["answers"].items()
            ]
            rows = pl.DataFrame(answers, ["question", "answer", "why", "at_best", "at_best_why"], orient="row")
            put(store, "answers", loads.filter("answers").select("load_id").join(rows, how="cross"))


def _at_best(question: str, answer: str, why: str) -> str:
    """Return the reason that :func:`sources.answers` makes this one of: of labels it is the part after what was counted."""
    return why.partition("; ")[2] if question in {"tickets", "intents"} and answer != "no" else why


def _names(kind: str, count: int, marks: pl.DataFrame | None) -> pl.DataFrame:
    """Return one row a number of a kind: the id that stands for it."""
    found = pl.DataFrame({"number": pl.int_range(count, dtype=pl.Int32, eager=True)})
    name = spelt(kind, pl.col("number"), count=count)
    if marks is not None:
        own = marks.filter(kind=kind).select("number", "mark")
        found = found.join(own, on="number", how="left", maintain_order="left")
        name = pl.concat_str([name, pl.lit("-") + pl.col("mark")], ignore_nulls=True)
    return found.select("number", name.alias("name"))


def _named(frame: pl.DataFrame, names: Mapping[str, pl.DataFrame], table: str) -> pl.DataFrame:
    """Return a table as the store has it: ids in place of numbers, and what a pack leaves out."""
    for column, kind in KINDS.items():
        if kind not in frame.columns:
            continue
        stored = _STORED.get(table, {}).get(column, column.removesuffix("_name") if kind == "policy" else column)
        spelt_out = names[kind].rename({"number": kind, "name": "spelt"})
        frame = frame.join(spelt_out, on=kind, how="left", maintain_order="left").drop(kind).rename({"spelt": stored})
    if table == "attempts":
        number = pl.int_range(pl.len()).cast(pl.String)
        frame = frame.with_columns((pl.col("request_id") + "/" + number).alias("attempt_id"))
    if table == "feedback":
        frame = frame.with_columns(feedback_id="f" + pl.int_range(pl.len()).cast(pl.String))
    if table == "ticket_events":
        frame = frame.with_columns(value=pl.coalesce("value", "policy")).drop("policy")
    return frame


def _say(incident: Incident, said: Mapping[str, Any]) -> None:
    incident.title, incident.zone, incident.slow_ms = "" + said["title"], str(ZoneInfo(said["zone"])), said["slow_ms"]
    incident.is_simulated = said["simulated"]
    incident.prices = {target: (price[0], price[1]) for target, price in said["prices"].items()}
    incident.in_force = _policy(said["in_force"])
    incident.sla_settings = _settings(said["sla"])


def policy_said(policy: Policy | None) -> dict[str, Any] | None:
    """Return what a pack says of the policy in force: its text, or the texts of its versions and their times."""
    if policy is None:
        return None
    parts = policy.versions if isinstance(policy, Versions) else (Version(policy),)
    texts = [
        {
            "name": one.policy.name, "text": file_text(one.policy),
            "since": one.since and one.since.isoformat(), "until": one.until and one.until.isoformat(),
            "degraded": [route.name for route in one.policy.routes if route.degraded_start],
        }
        for one in parts
    ]  # fmt: skip
    return {"name": policy.name, "versions": texts}


def _policy(said: Mapping[str, Any] | None) -> Policy | None:
    if said is None:
        return None
    parts = []
    for one in said["versions"]:
        policy = Policy.parse(one["text"], name=one["name"], source="the policy in force")
        degraded = set(one["degraded"])
        routes = tuple(replace(route, degraded_start=route.name in degraded) for route in policy.routes)
        since, until = (one[end] and datetime.fromisoformat(one[end]) for end in ("since", "until"))
        parts.append(Version(replace(policy, routes=routes) if degraded else policy, since, until))
    if len(parts) == 1 and parts[0].since is parts[0].until is None:
        return replace(parts[0].policy, name=said["name"])
    return versions(parts, name=said["name"])


def settings_said(settings: SlaSettings) -> dict[str, Any]:
    """Return what a pack says of the settings of SLA clocks."""
    schedules = [
        {
            "id": one.id,
            "zone": one.zone.key,
            "windows": one.windows,
            "holidays": [[str(a), str(b)] for a, b in one.holidays],
        }
        for one in settings.schedules
    ]
    rules = {desk: one.model_dump(mode="json") for desk, one in settings.rules.items()}
    return {"rules": rules, "schedules": schedules, "asof": settings.asof and settings.asof.isoformat()}


def _settings(said: Mapping[str, Any]) -> SlaSettings:
    schedules = tuple(
        Schedule.of(
            one["zone"],
            [(start, end) for start, end in one["windows"]],
            holidays=[(date.fromisoformat(a), date.fromisoformat(b)) for a, b in one["holidays"]],
            id=one["id"],
        )
        for one in said["schedules"]
    )
    rules = {desk: SlaRules.model_validate(one) for desk, one in said["rules"].items()}
    return SlaSettings(rules, schedules, said["asof"] and datetime.fromisoformat(said["asof"]))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _seal(said: Mapping[str, Any]) -> str:
    return _sha256(json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode())
