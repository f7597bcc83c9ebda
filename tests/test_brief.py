"""The brief as text: one file, nothing asked of anyone, plain words first, untrusted text harmless."""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import itertools
import json
import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from email import message_from_bytes
from email.policy import default
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import made_up
import polars as pl
import pytest
from test_whatif import grid

from incident_kit.backups.compatibilities import compatibility
from incident_kit.briefs import briefpage as brief
from incident_kit.briefs import brieftable
from incident_kit.briefs.briefcontent import Lapse, caveats, gather, lapses, lede
from incident_kit.briefs.briefpictures import coarse, of_limit
from incident_kit.briefs.whatif import whatif
from incident_kit.inspection.battery import findings
from incident_kit.phases import Phase
from incident_kit.scoring.scorecard import compare

if TYPE_CHECKING:
    from pathlib import Path

    from incident_kit.incident import Incident

JARGON = re.compile(r"\bp\d\d|breaker|half.open|replay|fallback", re.IGNORECASE)


class Reader(HTMLParser):
    """Reads a page: its tags, its scripts, and the words a person sees before and after "For engineers"."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.first, self.rest = [], []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag not in {"meta", "img", "source", "br", "link", "input"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "script" in self.open:
            attrs, text = self.scripts[-1]
            self.scripts[-1] = (attrs, text + data)
        elif "style" not in self.open and data.strip():
            (self.rest if "details" in self.open else self.first).append(data.strip())


@functools.cache
def html() -> str:
    return brief.page(made_up.content(zone="Europe/Berlin"))


@functools.cache
def page() -> Reader:
    return Reader(html())


@pytest.mark.slow
def test_the_page_is_one_file_that_asks_for_nothing() -> None:
    for tag, attrs in page().tags:
        for name in ("src", "href", "srcset", "action", "data", "poster"):
            if attrs.get(name):
                assert attrs[name].startswith("data:image/svg+xml;base64,"), (tag, name)
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
    assert not re.search(r"url\(|@import", "".join(re.findall(r"<style>.*?</style>", html(), re.DOTALL)))


def test_the_security_policy_allows_the_pages_own_scripts_and_nothing_else() -> None:
    (policy,) = [attrs["content"] for tag, attrs in page().tags if tag == "meta" and "http-equiv" in attrs]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "")
    assert not re.search(r"https?:|\*", policy)
    code = [text for attrs, text in page().scripts if "type" not in attrs]
    assert len(code) == 2
    for text in code:
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert not [attrs for _, attrs in page().tags if any(name.startswith("on") for name in attrs)]


@pytest.mark.slow
def test_the_page_stays_under_two_megabytes_with_six_hours_in_it() -> None:
    long = brief.page(made_up.content(bins=360))
    assert len(long.encode()) <= 2_000_000
    assert long.count("interpreter") < 40, "Vega is in the page once"


def drawing(uri: str | None) -> str:
    """Return the SVG of a data URI."""
    kind, _, text = (uri or "").partition(",")
    assert kind == "data:image/svg+xml;base64"
    return base64.b64decode(text).decode()


def test_every_picture_is_there_without_scripts_in_two_widths_and_two_themes() -> None:
    images = [attrs for tag, attrs in page().tags if tag == "img"]
    sources = [attrs for tag, attrs in page().tags if tag == "source"]
    assert len(images) == len(sources) == 4
    for image in images:
        assert len(image["alt"] or "") > 40
        picture = ET.fromstring(drawing(image["src"]))  # noqa: S314 - our own
        assert picture.tag == "{http://www.w3.org/2000/svg}svg"
        assert "prefers-color-scheme: dark" in (picture[0].text or ""), "its first child is its style"
        assert '[fill="#1b1f24"]{fill:#e9ecef}' in (picture[0].text or "")
    widths = [int(re.search(r'width="(\d+)', drawing(uri))[1]) for uri in (sources[0]["srcset"], images[0]["src"])]  # type: ignore[index]
    assert widths[0] <= 362
    assert widths[1] >= 690


def test_headings_go_down_one_step_at_a_time() -> None:
    levels = [int(tag[1]) for tag, _ in page().tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_plain_words_stand_first() -> None:
    first = " ".join(page().first)
    assert not JARGON.search(first)
    jargon = Reader(brief.page(made_up.content(pictures=(), notes=("The replay was exact.",))))
    assert JARGON.search(" ".join(jargon.rest)), "the test can fail"
    for words in (
        "Simulated data: nobody was affected.",
        "Adopt the rules “refund-policy” for refund policy and chat questions?",
        "For 20 min, answers were slow or went wrong: 15:20 to 15:40 (13:20 to 13:40 UTC).",
        "The first complaint came after 2 min; the team noticed after 4 min.",
        "usually about 11",
        "nothing usual to compare with",
        "“Usually” is in as many outside of that time.",
        "Between 41 and 70 fewer waits over 3.5 s",
        "Between 12 and 14 USD more to pay",
        "We cannot tell about requests without an answer and rewritten drafts.",
        "Answered by the backup model without tools (better): refund policy",
        "Goes to a person (we cannot tell if better): chat",
        "We saw this : what people felt.",
        "Worked out from similar requests : what would change, for about one in ten of the answers.",
        "These logs cannot tell : which drafts agents rewrote.",
        "refund-policy: reads refund-policy, by 14 October 2026",
    ):
        assert words in first, words
    assert re.search(r"96\s+of 1,409", first)
    assert len(first.split()) < 350
    order = [
        first.index(head)
        for head in ("What is asked", "What people felt", "What would", "How sure", "Who owns", "How it")
    ]
    assert order == sorted(order)
    rest = " ".join(page().rest)
    assert re.search(r"Noticed\s+after 4 min\s+15:20 to 15:24 \(13:20 to 13:24 UTC\)", rest)
    assert "one answer in twenty took over 2.2 s; before, that was mostly about 0.6 s." in rest
    assert "the backup model gave 64 % of the answers" in rest


def test_the_table_says_how_sure_each_number_is() -> None:
    first = " ".join(page().rest)
    assert "Slow answers (over 3.5 s)" in first
    assert "What happened" in first
    assert "Switch everything at once" in first
    assert (
        "we saw this: 61 % worked out from similar requests: 37 % these logs cannot tell: 2 %".replace(" %", "\xa0%")
        in first
    )
    assert "rests on 14 requests" in first


def test_engineers_find_how_to_repeat_it() -> None:
    rest = " ".join(page().rest)
    for words in (
        "a3" * 32,
        "3,512",
        "incident-kit 0.1.0",
        "routes:",
        "Load the help desk",
        "standard_logging.ndjson.gz",
    ):
        assert words in rest, words
    assert "/home/someone" not in html()


def test_engineers_see_whether_the_backup_may_stand_in() -> None:
    reader = page()
    rest = " ".join(" ".join(reader.rest).split())
    assert "May the backup stand in" in rest
    assert "only with tools disabled" in rest
    assert "tools ok 94 % 73 % -20.8 (-27.6 to -10.6) 91 / 204 worse" in rest
    assert "stand in" not in " ".join(reader.first)


def test_the_bundled_brief_says_so_of_every_intent(sample: Incident) -> None:
    content = gather(sample, compare(sample, {}))
    said = content.backups
    found = findings(sample)
    assert [title for title, _ in content.findings] == [one.title for one in found.interesting]
    assert len(content.findings) + len(content.ordinary) == len(found)
    assert "backups" in {picture.id for picture in content.pictures if picture.for_engineers}
    verdicts = compatibility(sample).verdicts
    assert [(one.intent, one.verdict) for one in said] == verdicts.select("intent", "verdict").rows()
    order = next(one for one in said if one.intent == "order-status")
    assert {"failed", "p95", "tools ok"} <= {one.name for one in order.measures}


@pytest.mark.slow
@pytest.mark.parametrize("name", [" ".join(" ".join(made_up.NASTY).split()), made_up.HOSTILE])
def test_a_hostile_name_changes_no_tag(name: str) -> None:
    def skeleton(reader: Reader) -> list[tuple[str, tuple[str, ...]]]:
        return [(tag, tuple(sorted(attrs))) for tag, attrs in reader.tags]

    nasty = brief.page(made_up.content(name=name, zone="Europe/Berlin"))
    reader = Reader(nasty)
    assert skeleton(reader) == skeleton(page())
    assert "</script><img" not in nasty
    assert "\u202e" not in nasty
    assert "{{ 7*7 }}" in " ".join(reader.first) or "7*7" not in name
    (record,) = [text for attrs, text in reader.scripts if attrs.get("type") == "application/json"]
    assert not set("<>&") & set(record)
    assert json.loads(record)["policies"] == {name: {"text": name}}
    assert drawn_by_scripts(reader)["specs"].keys() == {"over-time", "models", "signals", "states"}


def drawn_by_scripts(reader: Reader) -> dict[str, Any]:
    """Return what the page's script draws."""
    (packed,) = [text for attrs, text in reader.scripts if attrs.get("type") == "text/plain"]
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
    return found


def test_the_settings_of_a_limit_are_a_picture_and_a_table_and_scripts_have_a_slider() -> None:
    limit = whatif(grid(path="refund-policy.max_p95_ms"), policy="per-intent")
    assert limit is not None
    reader = Reader(brief.page(made_up.content(limit=limit, pictures=of_limit(limit))))
    (slider,) = [attrs for _, attrs in reader.tags if attrs.get("id") == "slider"]
    assert "hidden" in slider, "without scripts there is none to be moved in vain"
    (knob,) = [attrs for tag, attrs in reader.tags if tag == "input"]
    assert (knob["min"], knob["max"], knob["value"], knob["aria-valuetext"]) == ("0", "2", "1", "3.5 s")
    assert [attrs for tag, attrs in reader.tags if tag == "label" and attrs.get("for") == knob["id"]]
    rest = " ".join(" ".join(reader.rest).split())
    assert (
        "As it was 8 % 2 s 2 s these logs cannot tell these logs cannot tell 3.5 s, as it stands 7 %"
        in rest.replace("\xa0", " ")
    )
    image, settings = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert re.match(r"\d settings by ", settings["alt"] or "")
    assert "waited over, seconds: from 2 s to 5 s (estimated)" in (image["alt"] or "")
    steps = drawn_by_scripts(reader)["steps"]
    assert [(step["at"], step["name"]) for step in steps] == [(2000, "2 s"), (3500, "3.5 s"), (5000, "5 s")]
    assert not [text for text in reader.first if "limit" in text], "it is for engineers"


@pytest.mark.slow
def test_ids_are_in_no_form_unless_they_are_asked_for(sample: Incident, tmp_path: Path) -> None:
    board = compare(sample, sample.policies[:1], during="impact", draws=1)
    requests = sample.requests()
    ids = {one for name in ("request_id", "ticket_id", "conversation_id") for one in requests[name] if one}
    assert len(ids) > 1000
    with_ids = gather(sample, board, with_ids=True)
    shown = {str(one) for one in with_ids.tickets["ticket_id"]}  # type: ignore[index]
    assert shown
    assert shown <= ids
    assert len(shown) <= 50
    few = replace(with_ids, pictures=with_ids.pictures[:1])
    for form in ("html", "md", "eml", "pdf"):
        for content, wanted in ((few, shown), (replace(few, tickets=None), set())):
            file = brief.write(content, tmp_path / f"brief.{form}")
            assert found_in(words_of(file), ids) == wanted, form
    assert not found_in(json.dumps(with_ids.record), ids), "the record never has any"
    assert gather(sample, board).tickets is None


def words_of(file: Path) -> str:
    """Return all of a file that somebody could read, what is packed too."""
    if file.suffix == ".pdf":
        tool = shutil.which("pdftotext")
        if tool is None:
            pytest.skip("pdftotext (poppler-utils) is not installed")
        return subprocess.run([tool, str(file), "-"], capture_output=True, text=True, check=True).stdout
    if file.suffix == ".eml":
        message = message_from_bytes(file.read_bytes(), policy=default)
        return "".join(part.get_content() for part in message.walk() if part.get_content_maintype() == "text")
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return text.replace("\\", "")
    pictures = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", text)
    return "".join(
        [text, json.dumps(drawn_by_scripts(Reader(text))), *(base64.b64decode(one).decode() for one in pictures)]
    )


def found_in(text: str, ids: set[str]) -> set[str]:
    """Return the ids that stand in a text, each as a word of its own."""
    said = set(re.findall(r"[\w-]+", text))
    return {one for one in ids if one in said}


def test_a_brief_of_nothing_still_opens() -> None:
    content = brief.BriefContent(title="Nothing", start=made_up.START, end=made_up.at(1))
    reader = Reader(brief.page(content))
    assert "Nothing" in reader.first
    assert not [tag for tag, _ in reader.tags if tag in {"table", "figure"}]
    assert "No decision: no other rules were compared." in reader.first


def test_what_nobody_noted_is_left_out() -> None:
    assert lapses(made_up.PHASES[:1]) == []
    assert lapses(made_up.PHASES[:2]) == [Lapse("First complaint", made_up.at(20), made_up.at(22))]
    shown = " ".join(Reader(brief.page(made_up.content(lapses=lapses(made_up.PHASES[:1]), pictures=()))).rest)
    assert "Noticed" not in shown


def test_the_lede_without_an_impact_says_how_much_there_was() -> None:
    (said, *_) = lede(made_up.series(10), ())
    assert said == "1,024 requests came in: 5 October 2026, 13:00 to 13:10 UTC."
    assert lede(made_up.series(0), ()) == ["There are no requests in this period."]
    after = Phase("impact", made_up.at(600), None)
    assert lede(made_up.series(10), [after])[0] == said


def test_caveats_come_from_what_the_logs_can_answer() -> None:
    answers = {name: made_up.Answer(name, "no", "") for name in ("errors", "tools", "overrides")}
    (said,) = caveats(answers)
    assert said == (
        "These logs cannot tell which requests got no answer, whether look-ups worked and which drafts agents rewrote."
    )
    assert caveats({"errors": made_up.Answer("errors", "yes", "")}) == []


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"estimate": 1.0, "share_observed": 1.0, "share_same_intent": 0.0}, ("we saw this",)),
        ({"estimate": 1.0, "share_same_intent": 1.0}, ("worked out from similar requests",)),
        ({"estimate": None, "share_observed": 1.0}, ("these logs cannot tell",)),
        ({"estimate": 1.0}, ("these logs cannot tell",)),
        (
            {"estimate": 1.0, "share_observed": 0.5, "share_none": 0.2, "share_no_model": 0.3},
            ("we saw this: 50 %", "these logs cannot tell: 20 %", "sent to no model: 30 %"),
        ),
    ],
)
def test_evidence_has_three_phrases(row: dict[str, Any], said: tuple[str, ...]) -> None:
    assert brieftable.evidence(row) == said


@pytest.mark.parametrize(
    ("ends", "said"),
    [
        ((0.02, 0.31), "between 2 % and 31 % whatever happened"),
        ((0.0, 1.0), ""),
        ((None, 0.5), ""),
    ],
)
def test_what_cannot_be_told_lies_between_bounds(ends: tuple[Any, Any], said: str) -> None:
    frame = made_up.table(("all",)).with_columns(
        pl.when(pl.col("policy") == "blind").then(None).otherwise("estimate").alias("estimate"),
        pl.lit(ends[0], pl.Float64).alias("bound_low"), pl.lit(ends[1], pl.Float64).alias("bound_high"),
    )  # fmt: skip
    (table,) = brieftable.tables(frame)
    cell = dict(table.rows)["Look-ups and actions that worked"][table.columns.index("Switch everything at once")]
    assert (cell.evidence, cell.limits) == (("these logs cannot tell",), said)


def test_what_happened_is_a_column_even_if_it_is_no_policy() -> None:
    frame = made_up.table(("all",)).filter(pl.col("policy") != "as_logged")
    (table,) = brieftable.tables(frame)
    assert table.columns == ("What happened", "per-intent", "Switch everything at once")
    title, cells = table.rows[0]
    assert title == "The slowest one in twenty waited over"
    assert [cell.value for cell in cells] == ["2.2 s", "1.9 s", "1.3 s"]
    unknown = dict(table.rows)["Drafts that agents rewrote"]
    assert {cell.evidence for cell in unknown} == {("these logs cannot tell",)}


@pytest.mark.slow
def test_brief_gathers_from_an_incident_and_a_board(tmp_path: Path) -> None:
    @dataclass
    class Policy:
        name: str

        def expand(self) -> str:
            return f"name: {self.name}"

    class Replay:
        policy = None

        def states(self) -> pl.DataFrame:
            return made_up.states(policy="blind")

    class Incident:
        phases = made_up.PHASES
        answers = made_up.ANSWERS
        zone = "Europe/Berlin"

        def series(self) -> pl.DataFrame:
            return made_up.series()

        def quality(self) -> pl.DataFrame:
            return made_up.quality()

        def impact(self) -> list[tuple[str, int, int, float]]:
            return [("slow answers (over 3.5 s)", 96, 1409, 11.2)]

        def loads(self) -> pl.DataFrame:
            return made_up.LOADS

    class Board:
        replays = {"blind": Replay()}  # noqa: RUF012 - a stand-in
        caveats = ("The state was exact for 61 % of the requests.",)

        def table(self, *, by: str | None = None) -> pl.DataFrame:
            return made_up.table(("refund-policy",) if by else ("all",))

    path = brief.brief(Incident(), Board(), tmp_path / "brief.html", title="Brown-out")
    reader = Reader(path.read_text(encoding="utf-8"))
    assert "Brown-out" in reader.first
    assert not JARGON.search(" ".join(reader.first))
    assert "The state was exact for 61 % of the requests." in reader.rest
    content = gather(Incident(), Board())
    assert [table.intent for table in brieftable.tables(content.table)] == ["all", "refund-policy"]
    assert content.versions["incident-kit"]
    assert content.policies == [("blind", "What was done at the time.")]


def test_tests_too_short_to_be_seen_are_left_out_of_the_picture() -> None:
    from datetime import UTC, datetime, timedelta

    start = datetime(2026, 10, 5, 12, tzinfo=UTC)
    lasting = [
        ("on primary", 1000),
        ("on backup", 60),
        ("testing primary", 1),
        ("on backup", 60),
        ("testing primary", 30),
    ]
    lasting += [("on backup", 60), ("testing primary", 1), ("on primary", 1000)]
    rows, at = [], start
    for state, seconds in lasting:
        rows.append(("p", "r", "big", state, at, at + timedelta(seconds=seconds)))
        at += timedelta(seconds=seconds)
    found = coarse(pl.DataFrame(rows, schema=["policy", "route", "target", "state", "start", "end"], orient="row"))
    spans = [(row["state"], (row["end"] - row["start"]).seconds) for row in found.iter_rows(named=True)]
    assert spans == [
        ("on primary", 1000), ("on backup", 121), ("testing primary", 30), ("on backup", 60), ("testing primary", 1),
        ("on primary", 1000),
    ]  # fmt: skip
