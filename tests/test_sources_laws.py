"""The loader's laws over every format's sample: nothing vanishes, twice is once, order and hostile text change nothing."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from incident_kit.commandline.terminal import shown
from incident_kit.errors import IncidentKitError, InvalidRows
from incident_kit.sources import formats, load
from incident_kit.sources.detection import recognised, sampled
from incident_kit.sources.files import inspect
from incident_kit.sources.formats import Format, parse_format
from incident_kit.sources.hostile import hostile
from incident_kit.sources.laws import Trial, trial
from incident_kit.store import Store

DATA = Path(__file__).parent / "data"
OWN = ("litellm.ndjson", "overrides.csv", "requests.csv", "signals.csv", "zendesk_events.json")
SAMPLES = [DATA / name for name in OWN] + sorted(
    file for file in (DATA / "formats").glob("*.*") if file.suffix in {".ndjson", ".json", ".csv"}
)


@functools.cache
def found(file: Path) -> tuple[Format, bool]:
    """Return a sample's format, and whether the sample is of what that format knows to refuse."""
    with Store() as store:
        told, chosen = recognised(sampled(inspect(file), store.connection), formats())
    try:
        chosen.check(told.samples, shown="it")
    except InvalidRows:
        return chosen, True
    return chosen, False


def said(tried: Trial) -> str:
    return "\n".join(f"{law.name}: {law.detail}" for law in tried.laws if not law.held)


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.name)
def test_a_sample_keeps_the_laws(file: Path) -> None:
    chosen, is_refused = found(file)
    if is_refused:
        with pytest.raises(InvalidRows, match="cannot be used as"):
            load(Store(), file, zone="UTC")
        return
    # a cut is the same to most formats: the fuzz run makes twelve in each file
    tried = trial(file, zone="UTC", cuts=2 if file.name in OWN else 0)
    assert tried.held, said(tried)
    assert set(tried.answers) >= set(chosen.answers)


@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize("seed", range(1, 4))
@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.name)
def test_a_sample_keeps_the_laws_whatever_is_drawn(file: Path, seed: int) -> None:
    if found(file)[1]:
        return
    tried = trial(file, zone="UTC", seed=seed, rounds=4, cuts=12)
    assert tried.held, said(tried)


def test_every_format_that_can_be_detected_has_a_sample() -> None:
    assert {one.name for one in formats() if one.detect} <= {found(file)[0].name for file in SAMPLES}


# ---- the laws themselves can be broken


BROKEN = """-- one row per call
-- parameters: none
-- columns: line BIGINT, reject VARCHAR, name VARCHAR, known_at TIMESTAMP WITH TIME ZONE, value DOUBLE
-- ---
-- name: broken
-- table: signals
-- answers:
--   waits: "no: nothing here"
-- ---
select line, null::varchar as reject, {name} as name, instant(record ->> '$.at', 'UTC') as known_at, 1.0 as value
from raw {where}
"""


@pytest.mark.parametrize(
    ("name", "where", "law"),
    [
        ("record ->> '$.name'", "where record ->> '$.name' <> 'a'", "conservation"),
        ("coalesce(record ->> '$.name', '?')", "where record ->> '$.at' is not null", "hostile"),
        ("line::varchar", "", "shuffled"),
        ("(record ->> '$.name') || line", "", "twice"),
    ],
)
def test_a_format_that_breaks_a_law_is_told_so(tmp_path: Path, name: str, where: str, law: str) -> None:
    mine, sample = tmp_path / "broken.sql", tmp_path / "sample.ndjson"
    mine.write_text(BROKEN.format(name=name, where=where))
    rows = [{"name": letter, "at": f"2026-03-02T10:00:0{number}Z"} for number, letter in enumerate("abcdefg")]
    sample.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tried = trial(sample, source=str(mine))
    assert law in {one.name for one in tried.laws if not one.held}
    assert not tried.held


def test_hostile_lines_are_the_same_for_the_same_seed() -> None:
    records = ['{"a": "x", "at": "2026-03-02T10:00:00Z"}', '{"a": "y", "b": {"c": [1, 2]}}', '"text"']
    one, other, third = (list(hostile(records, seed=seed)) for seed in (1, 1, 2))
    assert one == other != third
    assert len({name for name, _ in one}) == len(one) > 40
    assert list(hostile(["[]", "{}"], seed=1)) == []


def test_what_a_report_says_of_hostile_text_does_nothing_to_a_terminal(tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    good = {"suggestion_id": "s", "decision": "accepted", "decided_at": "2026-03-02T10:00:00Z"}
    bad = good | {"suggestion_id": "t", "decision": "\x1b]0;owned\x07\u202e<script>"}
    file.write_text(json.dumps(good) + "\n" + json.dumps(bad) + "\n")
    report = load(Store(), file)
    assert report.rows_rejected == 1
    text = shown(str(report))
    assert "<script>" in text
    assert not {"\x1b", "\x07", "\u202e"} & set(text)


@pytest.mark.slow
def test_a_line_of_fifty_megabytes_is_read_in_bounded_memory(tmp_path: Path) -> None:
    file = tmp_path / "log.ndjson"
    records = [json.loads(line) for line in (DATA / "litellm.ndjson").read_text().splitlines()]
    records[0]["messages"] = [{"role": "user", "content": "x" * 50_000_000}]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    code = (
        "import sys, resource; from incident_kit.sources import load; from incident_kit.store import Store;"
        " report = load(Store(), sys.argv[1]);"
        " print(report.rows_read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(file)], capture_output=True, text=True, check=True)
    rows, peak_gib = map(float, done.stdout.split())
    assert rows == len(records)
    assert peak_gib < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1_000, 10_000, 1_000_000])
@pytest.mark.parametrize("opening", ["[", '{"a":', '{"rows": [', "[[{"])
def test_a_file_that_only_opens_brackets(tmp_path: Path, opening: str, depth: int) -> None:
    file = tmp_path / "log.json"
    file.write_text(opening * depth)
    with pytest.raises(IncidentKitError):
        load(Store(), file)


def test_a_description_of_the_kit_is_read_as_its_own() -> None:
    assert parse_format(BROKEN, where="x", family="gateway").trusted
    assert not parse_format(BROKEN, where="x").trusted
