"""Cluster: the same replay where the logs outgrow one machine, on Spark: a lake in, decisions and transitions as Parquet out.

The workers run :mod:`clusters.partitions`, which calls the same loader, the same roll-up and the same
:func:`replays.replay_log` as everything else; Spark reads, shuffles and writes. Outcomes that the log does not
hold are the nearest ones in time (:func:`evidence.nearest`): the model of :mod:`estimation.model` is fitted on a
whole log and has no part that a worker could do alone.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa  # type: ignore[import-untyped]

from incident_kit.clusters import lake as lakes
from incident_kit.clusters import lakerows, partitions
from incident_kit.clusters.clusterreport import ClusterReplay, added, loads_of, manifest
from incident_kit.clusters.lakeanswers import OF_THE_DESK, home, shared
from incident_kit.clusters.lakefiles import outlet, write_text
from incident_kit.clusters.resulttables import plain, results
from incident_kit.clusters.sessions import failures, session
from incident_kit.engine.cohorts import UNROUTED, cohorts, reason_together
from incident_kit.engine.wiring import uses
from incident_kit.errors import InvalidRows, UnavailableCluster
from incident_kit.estimation.evidence import nearest
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import replay as replay_here

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

INTENTS = 32_767  # that a log tells apart
_LOOSE = 1_000_000  # requests without a route in one task
_BATCH = 50_000


def replay(
    lake: str,
    policy: Policy,
    *,
    out: str,
    master: str | SparkSession = "local[*]",
    labels: Mapping[str, Sequence[str]] | None = None,
    tags: Mapping[str, str] | None = None,
    columns: Mapping[str, str] | None = None,
    zone: str | None = None,
    ship: bool = False,
    progress: Callable[[str], object] | None = None,
) -> ClusterReplay:
    """Return a policy replayed over a lake by a cluster; every decision and transition is written to ``out``.

    The decisions are those of ``replay(incident, policy, estimator=nearest)`` over the same files, row for row.

    Parameters
    ----------
    lake
        A folder (or one file) of any file system that Spark reads: Parquet or NDJSON of one gateway's format or the kit's own,
        with feedback, signals and a help desk's exports beside it where the policy asks for them.
    out
        The folder to make. It appears, whole, when all is done.
    master
        The address of a cluster (``spark://HOST:PORT``, ``local[2]``, ``yarn``), or a session of yours, which is left open.
    labels, tags, columns, zone
        As in :meth:`incident_kit.Incident.load`.
    ship
        Send the kit's own files to workers that have its libraries only.
    progress
        Called with a line of text as the work proceeds.

    Raises
    ------
    UnavailableCluster
        There is no cluster to work with, or one of its tasks failed.
    UnreadableFile, UnknownFormat, InvalidRows
        The lake cannot be read.
    UnansweredQuestion
        The policy asks what these logs do not hold.
    UnwritableFile
        ``out`` is there already, or cannot be made.
    """
    tell = progress or (lambda _text: None)
    began = time.monotonic()
    with ExitStack() as open_:
        if isinstance(master, str):
            tell(f"asking {master} for workers")
            spark = open_.enter_context(session(master, name=f"incident-kit {policy.name}", ship=ship))
        else:
            spark = master
        open_.enter_context(failures())
        folder = open_.enter_context(outlet(spark, out))
        tell(f"looking at {lake}")
        found = lakes.survey(spark, lake, labels=labels, tags=tags, columns=columns, zone=zone)
        job = _Job(spark, found, policy, uses(policy), tell)
        result = job.run(out, folder, began)
        write_text(spark, f"{folder}/replay.json", manifest(result, lake=lake))
        return result


@dataclass(frozen=True)
class _Job:
    """One replay on a cluster; ``asked`` are the kinds of condition that the policy names."""

    spark: SparkSession
    lake: lakes.Lake
    policy: Policy
    asked: set[str]
    tell: Callable[[str], object]

    def run(self, out: str, folder: str, began: float) -> ClusterReplay:
        """Return what comes home, with the tables written into ``folder``."""
        from pyspark import StorageLevel

        self.tell(f"reading {self.lake.path}")
        with ExitStack() as held:

            def kept(frame: DataFrame) -> DataFrame:
                held.callback(frame.unpersist)
                return frame.persist(StorageLevel.DISK_ONLY)  # else the second question would do all the work again

            rolled = kept(self.rolled(kept))
            seen, loads = self.tallied(rolled)
            at_home = home(self.spark, self.lake, self.asked, seen)
            # a replay of nothing: refuses what any other would, and has the shape of the results
            model = results(replay_here(at_home, self.policy, estimator=nearest))
            counts: dict[str | None, int] = dict(
                rolled.where("request_id is not null").groupBy("intent").count().collect()
            )
            if len(counts) > INTENTS:
                raise InvalidRows(
                    f"{self.lake.path} has {len(counts):,} intents; at most {INTENTS:,} can be told apart"
                )
            together = self.together(seen)
            group = cohorts(self.policy, counts, together=bool(together))
            sizes = Counter(dict.fromkeys(group.values(), 0))
            for intent, number in group.items():
                sizes[number] += counts[intent]
            self.tell(f"replaying {self.policy.name} over {sizes.total():,} requests in {len(sizes)} groups of routes")
            desk = shared(at_home) if self.asked & OF_THE_DESK else {}
            decided = kept(self.decided(rolled, group, sizes, model, desk=desk, reviewed=bool(seen["accepted"])))
            decided.where("decision is not null").select("decision.*").write.parquet(f"{folder}/decisions")
            transitions = _fetched(decided, "transition", model).sort("at", "route", "breaker")
            totals = added(_fetched(decided, "total", model))
            self.write(f"{folder}/transitions", transitions)
            self.write(f"{folder}/totals", totals)
            self.refuse_lost(f"{folder}/decisions", int(totals["requests"].sum()), out)
        del sizes[UNROUTED]
        return ClusterReplay(
            self.policy, out, transitions, totals, loads, at_home.answers, len(sizes), max(sizes.values(), default=0),
            together, time.monotonic() - began,
        )  # fmt: skip

    def rolled(self, kept: Callable[[DataFrame], DataFrame]) -> DataFrame:
        """Return one row a request, and rows with tallies, put together by tasks that each have some requests whole."""
        rows = lakes.rows(self.spark, self.lake)
        if "tools" in self.asked and any(one.chosen.name != "canonical" for one in self.lake.of_requests):
            rows = lakes.answered(kept(rows))
        _, given = lakes.schema_of(lakerows.loaded(None, reading=lakerows.Reading("", "")))
        schema, kind = lakes.schema_of(partitions.rolled([], schema=given))
        counts_reviews = "override" in self.asked

        def work(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            made = partitions.rolled(batches, schema=given, counts_reviews=counts_reviews)
            yield from made.cast(kind).to_batches(max_chunksize=_BATCH)

        count = max(self.lake.parts, self.spark.sparkContext.defaultParallelism)
        return rows.repartition(count, "request_id").mapInArrow(work, schema)

    def tallied(self, rolled: DataFrame) -> tuple[dict[str, int], pl.DataFrame]:
        """Return how much of what the questions need was seen, and what became of the records of each format."""
        tallies = [json.loads(text) for (text,) in rolled.where("tally is not null").select("tally").collect()]
        seen: Counter[str] = Counter()
        for one in tallies:
            seen.update(one["seen"])
        loads = loads_of(tallies)
        if not seen["requests"]:
            why = "; ".join(loads["reasons"].to_list()) or "they tell of no request"
            raise InvalidRows(f"no record at {self.lake.path} can be used: {why}")
        return dict(seen), loads

    def together(self, seen: Mapping[str, int]) -> str:
        """Return why all is one group, where it is."""
        if "override" in self.asked and seen["decided"] and not seen["accepted"]:
            return "only overrides are logged, and when no news is good news follows from all of them"
        return reason_together(self.policy)

    def decided(
        self,
        rolled: DataFrame,
        group: Mapping[str | None, int],
        sizes: Mapping[int, int],
        model: pa.Table,
        *,
        desk: Mapping[str, bytes],
        reviewed: bool,
    ) -> DataFrame:
        """Return decisions, transitions and totals, each group of routes replayed by one task."""
        from pyspark.sql import functions as f
        from pyspark.sql.pandas.types import to_arrow_schema

        loose = sizes.get(UNROUTED, 0) // _LOOSE + 1
        one_of = -1 - f.pmod(f.xxhash64("request_id"), f.lit(loose)).cast("int")
        table = self.spark.createDataFrame(list(group.items()), "of string, cohort int")
        gathered = (
            rolled.where("request_id is not null")
            .drop("tally")
            .join(f.broadcast(table), f.col("intent").eqNullSafe(f.col("of")))
            .drop("of")
            .withColumn("cohort", f.when(f.col("cohort") == UNROUTED, one_of).otherwise(f.col("cohort")))
        )
        given = to_arrow_schema(gathered.schema, timezone="UTC")
        schema, kind = lakes.schema_of(model)
        policy = self.policy

        def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            made = partitions.decided(batches, schema=given, policy=policy, desk=desk, reviewed=reviewed)
            yield from made.cast(kind).to_batches(max_chunksize=_BATCH)

        # Spark looks at these to know that batches come one by one
        work.__annotations__ = {"batches": Iterator[pa.RecordBatch], "return": Iterator[pa.RecordBatch]}
        return gathered.repartition(len(sizes) + loose, "cohort").groupBy("cohort").applyInArrow(work, schema)

    def write(self, path: str, frame: pl.DataFrame) -> None:
        """Write a small table as one file."""
        table = plain(frame)
        schema, kind = lakes.schema_of(table)
        self.spark.createDataFrame(table.cast(kind), schema).coalesce(1).write.parquet(path)

    def refuse_lost(self, path: str, requests: int, out: str) -> None:
        """Refuse a folder in which not everything is that the workers wrote."""
        written = self.spark.read.parquet(path).count()
        if written != requests:
            raise UnavailableCluster(
                f"{written:,} of {requests:,} decisions arrived in {out}: is it in a place that every worker shares?"
            )


def _fetched(decided: DataFrame, name: str, model: pa.Table) -> pl.DataFrame:
    table = decided.where(f"{name} is not null").select(f"{name}.*").toArrow()
    found: Any = pl.from_arrow(table.cast(pa.schema(list(model.schema.field(name).type))))
    return found  # type: ignore[no-any-return]
