"""Lake answers: what a lake can tell, put together at home from what its parts say; what its requests share."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pyarrow as pa  # type: ignore[import-untyped]

from incident_kit.clusters.lake import Lake, fetched
from incident_kit.incident import Incident
from incident_kit.sources import Answer, verdict

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OF_THE_DESK = {"escalation", "reopen", "sla", "signal"}  # conditions on what a help desk and signals say
_SHARED = ("ticket_events", "sla", "sla_events", "sla_verdicts", "signals")
_ALWAYS = {"tickets": ("yes", "requests carry a ticket"), "intents": ("yes", "requests carry an intent")}


def home(spark: SparkSession, lake: Lake, asked: set[str], seen: dict[str, int]) -> Incident:
    """Return an incident without requests that knows what the lake can answer, and what its requests share."""
    made = Incident.create()
    if asked & OF_THE_DESK:
        with TemporaryDirectory(prefix="incident-kit-") as folder:
            for files in lake.of_the_desk:
                for number, one in enumerate(files.paths):
                    into = Path(folder) / str(number)
                    into.mkdir(exist_ok=True)
                    made.load(fetched(spark, one, into), source=files.reading.source, zone=files.reading.zone)
        _ = made.log  # puts the clock's verdicts into the tables
    store = made.store
    ids = [row[0] for row in store.rows("select load_id from loads order by load_id")]
    seen |= {name: seen.get(name, 0) + count for name, count in verdict.coverage(store, ids).items()}
    for number, files in enumerate(lake.of_requests, start=max(ids, default=0) + 1):
        ids.append(number)
        name = files.chosen.name
        store.run("insert into loads values ($n, $name, $name, '', 0, 0, 0, 0, now())", {"n": number, "name": name})
        for question, (limit, why) in (_ALWAYS | dict(files.chosen.answers)).items():
            values = {"n": number, "question": question, "limit": limit, "why": why}
            store.run("insert into answers values ($n, $question, $limit, $why, $limit, $why)", values)
    told = verdict.of_loads(store, ids, seen)
    made.answers = {
        question: told.get(question, Answer(question, "no", verdict.MISSING[question])) for question in verdict.MISSING
    }
    if seen.get("first_tokens") or seen.get("costs"):
        store.run(  # a call of no request: that there are such
            "insert into attempts (attempt_id, request_id, kind, first_token_at, cost_usd)"
            " values ('', '', 'guardrail', if($tokens, now(), null), if($costs, 0, null))",
            {"tokens": bool(seen["first_tokens"]), "costs": bool(seen["costs"])},
        )
    return made


def shared(home: Incident) -> dict[str, bytes]:
    """Return the tables that all requests share, as Arrow files."""
    found = {}
    for name in _SHARED:
        table = home.store.frame(f"select * from {name}").to_arrow()  # noqa: S608 - the kit's own tables
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        if table.num_rows:
            found[name] = sink.getvalue().to_pybytes()
    return found
