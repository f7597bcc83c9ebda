"""Packing: an incident as a small folder of Parquet files that replays to the same, without ids, text or paths.

What policies and scorecards read is kept: instants, waits, ends, tokens, costs, tools, overrides, clocks, phases, the names of
intents, targets, channels and error classes, those labels that policies match on, and the text of the policy in force.
Instants are not shifted: sweeps and tumbling windows stand on the clock, hand switches and opening hours on the calendar.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from incident_kit.errors import InvalidPack, UnwritableFile
from incident_kit.lots import BORROW, PROBE, TARGET
from incident_kit.packs import packed, packlayout
from incident_kit.packs.pseudonyms import SHORTEST_KEY, mark, marks, numbered

if TYPE_CHECKING:
    from incident_kit.incident import Incident
    from incident_kit.policies.policy import Policy

SAFE_VALUES = (
    "status",
    "priority",
    "schedule",
    "policy_id",
    "target",
)  # of a ticket's events; those of others may be text
IDS = ("conversation_id", "ticket_id")


def pack(
    incident: Incident,
    folder: str | Path,
    *,
    key: bytes | str | None = None,
    labels: Sequence[str] = (),
    policies: Iterable[Policy] = (),
    same_draws: bool = True,
) -> Path:
    """Return a folder that holds the incident as a pack; the same incident and key give the same bytes.

    Parameters
    ----------
    key
        Ids become numbers. With a key of yours (16 bytes or more) each number also gets a mark, an HMAC of the id by which you,
        and nobody without the key, find a request or ticket again. Without one there is nothing to find it by.
    labels
        Which labels of requests to keep, besides those that a policy of the incident, or of ``policies``, matches on.
    policies
        Policies that the pack must replay to the same, besides the incident's: the hashes by which they draw are kept.
    same_draws
        Keep, for each request, 64 bits of a hash of its id (no key in it) that decide which call is drawn for an outcome that
        the log does not hold. Who has an id can tell by it, as by its arrival, whether the request is in the pack.
        False: such outcomes are drawn anew, the same within their intervals.

    Raises
    ------
    InvalidPack
        The key is too short; a policy of the incident asks for ids; the folder is there and no pack.
    """
    secret = key.encode() if isinstance(key, str) else key
    if secret is not None and len(secret) < SHORTEST_KEY:
        raise InvalidPack(
            f"the key has {len(secret)} bytes; use {SHORTEST_KEY} or more, from a good source of randomness"
        )
    known = tuple(one for one in (incident.in_force, *incident.policies, *policies) if one is not None)
    _refuse_ids(known)
    kept = sorted({*labels, *_labels_of(known)})
    tables, ids = _tables(incident, kept)
    if same_draws:
        tables["lots"] = _lots(incident, known)
    if secret is not None:
        tables["marks"] = pl.concat([marks(kind, names, secret) for kind, names in ids.items()])
    manifest = _manifest(incident) | {
        "pseudonyms": {
            "key": None if secret is None else mark(secret, "key", ""),
            "counts": {k: len(v) for k, v in ids.items()},
        },
        "labels": kept,
        "draws": [name for name in tables["lots"].columns if name != "request"] if same_draws else [],
    }
    return _written(
        Path(folder), manifest, {name: one for name, one in tables.items() if one.height or name == "requests"}
    )


def _refuse_ids(policies: Iterable[Policy]) -> None:
    for policy in policies:
        for route in policy.routes:
            if asked := sorted({key for key, _ in route.match} & {*IDS, "request_id"}):
                raise InvalidPack(
                    f"policy {policy.name}, route {route.name} matches on {asked[0]}: a pack holds no ids"
                )


def _labels_of(policies: Iterable[Policy]) -> set[str]:
    asked = {key for policy in policies for route in policy.routes for key, _ in route.match}
    return {key.removeprefix("labels.") for key in asked if key.startswith("labels.")}


def _lots(incident: Incident, policies: Iterable[Policy]) -> pl.DataFrame:
    """Return one row a request: the hashes of its id by which these policies draw."""
    lots, routes = incident.log.lots, [route for policy in policies for route in policy.routes]
    found: dict[str, Any] = {
        "request": pl.int_range(len(incident.log), dtype=pl.Int32, eager=True),
        BORROW: lots.borrow,
    }
    if any(entry.breaker and entry.breaker.half_open.share < 1 for route in routes for entry in route.chain):
        found[PROBE] = pl.Series(lots.words(PROBE), dtype=pl.UInt64)
    for target in sorted({target for route in routes for target, _ in route.weights}):
        found[TARGET + target] = pl.Series(lots.words(TARGET + target, target), dtype=pl.UInt64)
    return pl.DataFrame(found)


def _tables(incident: Incident, labels: Sequence[str]) -> tuple[dict[str, pl.DataFrame], dict[str, pl.Series]]:
    """Return the tables of a pack, ids replaced by their numbers, and the ids in the order of their numbers."""
    log, store = incident.log, incident.store
    raw = {name: store.query(f"pack_{name}") for name in packed.TABLES}
    raw["requests"] = _only(raw["requests"], labels)
    titles = raw["ticket_events"].filter(type="policy")["value"]
    ids = {
        "request": _requests(log.request_id, raw),
        "conversation": numbered(raw["requests"]["conversation_id"]),
        "ticket": numbered(*(frame["ticket_id"] for frame in raw.values() if "ticket_id" in frame.columns)),
        "actor": numbered(raw["ticket_events"]["actor_id"], raw["actors"]["actor_id"]),
        "deployment": numbered(raw["attempts"]["deployment_id"]),
        "policy": numbered(raw["sla"]["policy_name"], raw["sla_events"]["policy_name"], titles),
    }
    raw["ticket_events"] = raw["ticket_events"].with_columns(
        pl.when(pl.col("type") == "policy").then("value").alias("policy_name"),
        pl.when(pl.col("type").is_in(SAFE_VALUES)).then("value").alias("value"),
    )
    found = {name: _numbered(frame, ids) for name, frame in raw.items()}
    for name in ("sla_events", "ticket_events"):
        found[name] = found[name].with_columns(pl.col("seq").rank("dense").over("ticket").cast(pl.Int32))
    found["attempts"] = packlayout.shortened(*(packlayout.costed(found[name]) for name in ("attempts", "requests")))
    found["requests"] = packlayout.apart(packlayout.ordered(packlayout.costed(found["requests"])))
    return {name: packlayout.ordered(frame) for name, frame in found.items()}, {
        kind: one["name"] for kind, one in ids.items()
    }


def _requests(log: pl.Series, raw: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return requests numbered in the order of a replay; after them those that feedback or a signal names and no log holds."""
    named = numbered(*(raw[name]["request_id"] for name in ("feedback", "signals")))["name"]
    every = pl.concat([log.rename("name"), named.filter(~named.is_in(log.implode()))])
    return every.to_frame().with_row_index("number").with_columns(pl.col("number").cast(pl.Int32))


def _numbered(frame: pl.DataFrame, ids: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """Return a table with numbers in place of its ids."""
    for column, kind in packed.KINDS.items():
        if column in frame.columns:
            names = ids[kind].rename({"name": column, "number": kind})
            frame = frame.join(names, on=column, how="left", maintain_order="left").drop(column)
    return frame


def _only(requests: pl.DataFrame, labels: Sequence[str]) -> pl.DataFrame:
    """Return requests with some of their labels only."""
    if not labels:
        return requests.with_columns(labels=pl.lit(None, pl.String))

    def kept(text: str) -> str | None:
        said = json.loads(text)
        chosen = {name: said[name] for name in labels if isinstance(said, dict) and name in said}
        return json.dumps(chosen, sort_keys=True, ensure_ascii=False) if chosen else None

    return requests.with_columns(
        labels=pl.Series([text and kept(text) for text in requests["labels"]], dtype=pl.String)
    )


def _manifest(incident: Incident) -> dict[str, Any]:
    about = incident.about()
    return {
        "title": incident.title,
        "zone": incident.zone,
        "slow_ms": incident.slow_ms,
        "simulated": incident.is_simulated,
        "first": about["first"] and about["first"].isoformat(),
        "last": about["last"] and about["last"].isoformat(),
        "intents": list(incident.log.intents),
        "targets": list(incident.log.targets),
        "prices": {target: list(price) for target, price in sorted(incident.prices.items())},
        "in_force": packed.policy_said(incident.in_force),
        "answers": {question: [one.answer, one.why] for question, one in incident.answers.items()},
        "sla": packed.settings_said(incident.sla_settings),
    }


def _written(folder: Path, manifest: dict[str, Any], tables: Mapping[str, pl.DataFrame]) -> Path:
    """Write the folder whole, or not at all."""
    if folder.exists() and not (folder / packed.MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise InvalidPack(f"{folder} is there already and is no pack; give another name")
    if not folder.parent.is_dir():
        raise UnwritableFile(f"{folder} cannot be made: there is no folder {folder.parent}")
    unfinished = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.unfinished")
    try:
        packed.write(unfinished, manifest, tables)
        if folder.exists():
            packed.replace_files(folder, unfinished)
        else:
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder
