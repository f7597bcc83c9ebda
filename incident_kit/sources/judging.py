# ruff: noqa: S608 - every identifier is a column of the kit's own tables
"""Judged: which staged rows are loaded, which were there already, and which contradict a row that is kept."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from incident_kit.errors import InvalidRows
from incident_kit.sources import canonical
from incident_kit.sources.formats import NOT_FOR_US
from incident_kit.sources.records import quoted
from incident_kit.sources.report import FileLoad
from incident_kit.store import statement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from incident_kit.sources.staging import Staged
    from incident_kit.store import Store

# what `request_facts` holds of a staged attempt
FACTS = (
    "spans_request", "rows_stated", "fallbacks", "conversation_id", "ticket_id", "intent", "channel", "requested",
    "is_fallback", "stream", "labels", "calls_made", "tool_results", "request_began_at", "request_done_at", "complete",
)  # fmt: skip
# columns that a roll-up overwrites: they say nothing about whether two rows are the same
_DERIVED = ("latency_ms", "tool_errors", "tool_result_at")
OTHER = "another row has the same id and other content"
NAMED = 4  # columns of a row that says otherwise
SHOWN = 40  # characters of a value
# an id of several columns is compared as one text
_SEPARATOR = "chr(31)"


def judge(store: Store, item: Staged) -> None:
    """Fill the temporary table `judged` with the staged rows that are not loaded, and why.

    Two rows with the same id and content are one; with other content, one is kept whatever their order in the file.
    """
    run = store.run
    run(f"create or replace temp view staged as select rowid as row_no, * from {item.table}")
    run("create or replace temp table judged (row_no bigint, outcome varchar, reason varchar)")
    run("insert into judged select row_no, 'rejected', reject from staged where reject is not null")
    if item.format.table == "attempts":
        run(f"insert into judged {statement('load_elsewhere')}", {"source": item.format.name})
    here = (
        "select row_no, {key} as key, {content} as content from staged where row_no not in (select row_no from judged)"
    )
    key, content = _identity(store, item)
    run(f"create or replace temp view candidates as {here.format(key=key, content=content)}")
    run(f"create or replace temp view stored as {_stored(store, item)}")
    run(f"create or replace temp table contested as {statement('load_contested')}")
    if store.rows("select 1 from contested limit 1"):
        run(f"insert into judged {statement('load_judge')}")
        if store.rows("select 1 from judged where reason = $other limit 1", {"other": OTHER}):
            run(f"create or replace temp table otherwise as {_otherwise(store, item)}", {"other": OTHER})
            named = "array_to_string([said.name for said in o.said[:$named]], ', ')"
            more = "case when len(o.said) > $named then ', ...' else '' end"
            run(
                f"update judged set reason = reason || ': ' || {named} || {more} from otherwise as o "
                "where o.row_no = judged.row_no and len(o.said) > 0",
                {"named": NAMED},
            )


def contradictions(store: Store) -> tuple[str, ...]:
    """Return, of the first row that says otherwise than the one kept, both values; nothing where no row does."""
    if not store.rows("select 1 from judged where starts_with(reason, $other) limit 1", {"other": OTHER}):
        return ()
    return tuple(
        f"such as {_value(key.replace(chr(31), ' '))}: "
        + "; ".join(
            f"{one['name']} is kept as {_value(one['kept'])}, not {_value(one['here'])}" for one in said[:NAMED]
        )
        for key, said in store.rows("select key, said from otherwise where len(said) > 0 order by row_no limit 1")
    )


def _value(text: str | None) -> str:
    return "nothing" if text is None else text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def _otherwise(store: Store, item: Staged) -> str:
    """Return the statement of what rows that are not kept say otherwise: row_no, key, said (name, kept, here)."""
    said = _content(store, item)
    key = _joined([quoted(name) for name in canonical.KEYS[item.format.table]])
    listed = ", ".join(f"{value} as {quoted(name)}" for name, value in said.items())
    stored_key, stored, source = _kept(store, item)
    both = ", ".join(
        f"case when c.{quoted(name)} is distinct from k.{quoted(name)} then "
        f"{{'name': '{name}', 'kept': k.{quoted(name)}::varchar, 'here': c.{quoted(name)}::varchar}} end"
        for name in said
    )
    there = ", ".join(f"{value} as {quoted(name)}" for name, value in stored.items())
    here = f"{key} as key, {listed} from staged where row_no"
    return (
        f"with kept as (select {stored_key} as key, {there} from {source} "
        f"union all by name select {here} not in (select row_no from judged)), "
        f"ours as (select row_no, {here} in (select row_no from judged where reason = $other)) "
        f"select c.row_no, c.key::varchar as key, [one for one in [{both}] if one is not null] as said "
        "from ours as c join kept as k on k.key = c.key"
    )


def counted(store: Store, item: Staged, load_id: int) -> FileLoad:
    """Return the counts of a judged file."""
    ((rows,),) = store.rows("select count(*) from staged")
    judged = store.rows("select outcome, reason, count(*) from judged group by all")
    bad = Counter(reason for _, reason in item.records.bad)
    rejected = Counter({reason: count for outcome, reason, count in judged if outcome == "rejected"}) + bad
    duplicate = {reason: count for outcome, reason, count in judged if outcome == "duplicate"}
    read = rows + bad.total()
    return FileLoad(
        load_id=load_id,
        source=item.format.name,
        path=item.file.shown,
        rows_read=read,
        rows_loaded=read - rejected.total() - sum(duplicate.values()),
        rows_duplicate=sum(duplicate.values()),
        rows_rejected=rejected.total(),
        sha256=item.sha256,
        reasons={**rejected, **duplicate},
        notes=contradictions(store),
    )


def refuse_useless(loads: Sequence[FileLoad]) -> None:
    """Refuse a file of which no format could use any row, unless every row was for another.

    Raises
    ------
    InvalidRows
        Every row of all the loads of a file is rejected.
    """
    read = sum(done.rows_read for done in loads)
    if read and sum(done.rows_rejected for done in loads) == read:
        reasons: Counter[str] = sum((Counter(done.reasons) for done in loads), Counter())
        if all(reason.startswith(NOT_FOR_US) for reason in reasons):
            return  # one of a folder's files of which nothing is wanted
        shown = "; ".join(f"{count:,} x {reason}" for reason, count in reasons.most_common(3))
        shown += "".join(f"; {note}" for done in loads for note in done.notes)
        names = " or ".join(done.source for done in loads if done.rows_read)
        raise InvalidRows(f"no row of {loads[0].path} can be used as {names}: {shown}")


def _identity(store: Store, item: Staged) -> tuple[str, str]:
    keys = [quoted(name) for name in canonical.KEYS[item.format.table]]
    return _joined(keys), f"hash({', '.join(_content(store, item).values())})"


def _stored(store: Store, item: Staged) -> str:
    key, sides, source = _kept(store, item)
    return f"select {key} as key, hash({', '.join(sides.values())}) as content from {source}"


def _kept(store: Store, item: Staged) -> tuple[str, dict[str, str], str]:
    """Return how the rows that were there are read: their key, their columns, and where they lie."""
    table, said = item.format.table, _content(store, item)
    keys = canonical.KEYS[table]
    if table != "attempts":
        return _joined([quoted(name) for name in keys]), said, f"{table} where load_id is not null"
    # what was logged lies in two tables; `sent_at` there is corrected, and `seq` counted
    sides = {name: f"f.{name}" if name in FACTS else f"a.{name}" for name in said}
    sides |= {"sent_at": "f.began_at", "seq": "f.seq"}
    joined = "request_facts as f join attempts as a on a.request_id = f.request_id and a.attempt_id = f.attempt_id"
    return _joined([f"f.{name}" for name in keys]), sides, joined


def _joined(keys: list[str]) -> str:
    if len(keys) == 1:
        return keys[0]
    return f"concat_ws({_SEPARATOR}, {', '.join(f'coalesce({key}::varchar, chr(0))' for key in keys)})"


def _content(store: Store, item: Staged) -> dict[str, str]:
    derived = _DERIVED if item.format.table == "attempts" else ()
    names = [row[0] for row in store.rows("describe staged")]
    said = {name: quoted(name) for name in names if name not in {"row_no", "line", "reject", *derived}}
    if item.format.table == "sla_events":
        said["type"] = "case type when 'resume' then 'start' when 'target_change' then 'apply' else type end"
    return said
