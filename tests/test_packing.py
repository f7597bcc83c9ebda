"""Packs: the same replays, row for row, from a small folder in which nothing names anybody."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from scattered import POLICIES, scattered

import incident_kit as ik
from incident_kit.errors import InvalidPack, UnansweredQuestion, UnwritableFile
from incident_kit.incident import Incident
from incident_kit.packs import packed
from incident_kit.packs.packed import MANIFEST, is_pack, open_pack, read_manifest
from incident_kit.packs.packing import pack
from incident_kit.packs.pseudonyms import mark
from incident_kit.policies.policy import Policy
from incident_kit.policies.policyversions import Versions
from incident_kit.samples import CAPTURE, OUTAGE
from incident_kit.samples import sample as bundled
from incident_kit.servicelevels.schedules import Schedule
from incident_kit.servicelevels.slarules import DESKS
from incident_kit.servicelevels.slasettings import SlaSettings

METRICS = (
    "p95_ms", "mean_ms", "error_rate", "tool_success_rate", "override_rate", "cost_per_request", "switches", "escalation_rate",
    "sla_breach_rate", "signal:csat",
)  # fmt: skip
SECRET = re.compile(rb"Jane|jane|req-|@example|HD-|talk |/home|someone|\xe2\x98\x83")


def same(a: Incident, b: Incident, policies: Iterable[Policy], *, metrics: Iterable[str], draws: int = 3) -> None:
    """Hold every decision, transition and score of two incidents against each other; ids apart."""
    assert a.answers == b.answers
    assert [(one.kind, one.at, one.until) for one in a.phases] == [(one.kind, one.at, one.until) for one in b.phases]
    every = {one.name: one for one in policies}
    for policy in every.values():
        mine, theirs = (ik.replay(one, policy) for one in (a, b))
        ids = pl.DataFrame({"donor_request_id": a.log.request_id, "other": b.log.request_id})
        donors = mine.decisions.join(ids, on="donor_request_id", how="left", maintain_order="left")["other"]
        assert donors.equals(theirs.decisions["donor_request_id"].alias("other")), "the same calls are borrowed"
        left = "request_id", "donor_request_id"
        assert_frame_equal(mine.decisions.drop(left), theirs.decisions.drop(left), check_exact=True)
        assert_frame_equal(mine.transitions, theirs.transitions, check_exact=True)
        assert_frame_equal(mine.alert_changes, theirs.alert_changes, check_exact=True)
    boards = [ik.compare(one, every, draws=draws, metrics=tuple(metrics)) for one in (a, b)]
    assert_frame_equal(*(board.table(by="intent") for board in boards), check_exact=True)
    assert_frame_equal(*(one.clock.instances.drop("ticket_id", "policy") for one in (a, b)), check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_pack_replays_to_the_same_row_for_row(seed: int, tmp_path: Path) -> None:
    incident = scattered(seed)
    found = open_pack(pack(incident, tmp_path / "p", policies=POLICIES.values()))
    moved = [ik.replay(incident, one).same_as_log.mean() for one in POLICIES.values()]
    assert max(moved) < 1, "a policy that changes nothing shows nothing"
    same(incident, found, POLICIES.values(), metrics=METRICS)


@pytest.mark.slow
def test_the_bundled_incidents_replay_to_the_same(tmp_path: Path) -> None:
    for name in (CAPTURE, OUTAGE):
        incident = ik.open_case(bundled(name), in_memory=True)
        found = Incident.open(pack(incident, tmp_path / name))
        assert (found.title, found.zone, found.slow_ms, found.prices, found.is_simulated) == (
            incident.title, incident.zone, incident.slow_ms, incident.prices, incident.is_simulated,
        )  # fmt: skip
        assert found.in_force == incident.in_force
        usual = ("p95_ms", "error_rate", "tool_success_rate", "override_rate", "cost_per_request", "switches")
        same(incident, found, [*incident.policies, found.in_force or incident.policies[0]], metrics=usual, draws=2)
        size = sum(file.stat().st_size for file in (tmp_path / name).iterdir())
        assert size / len(incident.log) < 45, "fifty thousand requests are about two megabytes"


def test_nothing_in_a_pack_names_anybody(tmp_path: Path) -> None:
    incident = scattered(4)
    folder = pack(incident, tmp_path / "p")
    tables = {file.stem: pl.read_parquet(file) for file in folder.glob("*.parquet")}
    for name, frame in tables.items():
        text = frame.select(pl.col(pl.String)).write_csv().encode()
        assert not SECRET.search(text), name
    assert not SECRET.search((folder / MANIFEST).read_bytes())
    opened = open_pack(folder)
    assert opened.log.request_id.to_list() == sorted(opened.log.request_id.to_list())
    assert opened.requests()["labels"].drop_nulls().is_empty(), "no policy of this incident matches on a label"
    assert "tier" in incident.requests()["labels"].drop_nulls()[0]


def test_labels_are_kept_where_a_policy_matches_on_them_or_they_are_asked_for(tmp_path: Path) -> None:
    incident = scattered(5)
    one = open_pack(pack(incident, tmp_path / "one", policies=[POLICIES["of its own kind"]]))
    assert {str(json.loads(text)) for text in one.requests()["labels"].drop_nulls()} == {
        "{'tier': 'gold'}",
        "{'tier': 'tin'}",
    }
    two = open_pack(pack(incident, tmp_path / "two", labels=["customer"]))
    assert all(set(json.loads(text)) == {"customer"} for text in two.requests()["labels"].drop_nulls())


def test_the_same_incident_and_key_give_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        folder = pack(scattered(6), tmp_path / name, key="a key of mine, long enough")
        contents.append({file.name: file.read_bytes() for file in sorted(folder.iterdir())})
    assert contents[0] == contents[1]
    other = pack(scattered(6), tmp_path / "c", key=b"another key, as long as it")
    assert (other / "marks.parquet").read_bytes() != contents[0]["marks.parquet"]
    assert (other / "requests.parquet").read_bytes() == contents[0]["requests.parquet"]


def test_who_holds_the_key_finds_a_ticket_again(tmp_path: Path) -> None:
    incident, key = scattered(7), b"a key of mine, long enough"
    found = open_pack(pack(incident, tmp_path / "p", key=key))
    ticket = incident.tickets()["ticket_id"][0]
    mine = [name for name in found.tickets()["ticket_id"] if name.endswith("-" + mark(key, "ticket", ticket))]
    assert len(mine) == 1
    times = [
        one.tickets().filter(ticket_id=name)["created_at"].to_list()
        for one, name in ((incident, ticket), (found, mine[0]))
    ]
    assert times[0] == times[1]
    same(incident, found, [POLICIES["plain"]], metrics=("p95_ms",))
    with pytest.raises(InvalidPack, match="16 or more"):
        pack(incident, tmp_path / "q", key="short")


def test_without_the_draws_only_estimates_differ(tmp_path: Path) -> None:
    incident = scattered(8)
    folder = pack(incident, tmp_path / "p", same_draws=False)
    assert not (folder / "lots.parquet").exists()
    assert read_manifest(folder)["draws"] == []
    found = open_pack(folder)
    mine, theirs = (ik.replay(one, POLICIES["plain"]).decisions for one in (incident, found))
    seen = (mine["evidence"] == "observed") & (theirs["evidence"] == "observed")
    assert 0 < seen.sum() < len(seen)
    assert mine.filter(seen)["wait_ms"].equals(theirs.filter(seen)["wait_ms"])
    assert not mine["wait_ms"].equals(theirs["wait_ms"])


def test_what_a_case_says_of_clocks_and_versions_is_kept(tmp_path: Path) -> None:
    incident = scattered(9)
    day = date(2026, 1, 6)
    hours = Schedule.of("Europe/Berlin", [(1980, 2460)], holidays=[(day, day)], id="office")
    rules = {"zendesk": DESKS["zendesk"].but(bots_reply=True)}
    incident.sla_settings = SlaSettings(rules, (hours,), datetime(2026, 1, 6, tzinfo=UTC))
    at = incident.log.arrived_us[100]
    moment = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(at))
    incident.in_force = ik.versions([(POLICIES["plain"], None, moment), (POLICIES["probing"], moment, None)])
    found = open_pack(pack(incident, tmp_path / "p"))
    assert found.sla_settings == incident.sla_settings
    assert isinstance(found.in_force, Versions)
    assert found.in_force == incident.in_force
    incident.in_force = ik.always_fallback(POLICIES["probing"])
    found = open_pack(pack(incident, tmp_path / "p"))
    assert found.in_force is not None
    assert [one.degraded_start for one in found.in_force.routes] == [True]


def test_a_pack_of_an_incident_without_anything_opens(tmp_path: Path) -> None:
    folder = pack(Incident.create(), tmp_path / "p")
    found = ik.open_case(folder)
    assert (len(found.log), found.in_force, found.requests().height) == (0, None, 0)


def test_a_policy_that_asks_for_ids_cannot_be_packed(tmp_path: Path) -> None:
    incident = scattered(1)
    text = (
        "{name: vip, routes: [{intent: '*', match: {ticket_id: HD-3}, primary: big, fallback: small, max_p95_ms: 9}]}"
    )
    incident.in_force = Policy.parse(text)
    with pytest.raises(InvalidPack, match=r"policy vip, .* matches on ticket_id: a pack holds no ids"):
        pack(incident, tmp_path / "p")
    assert not list(tmp_path.iterdir())


def test_a_policy_that_matches_on_what_was_left_out_is_refused(tmp_path: Path) -> None:
    found = open_pack(pack(scattered(1), tmp_path / "p", labels=["customer"]))
    with pytest.raises(
        UnansweredQuestion, match=r"matches on labels\.tier, which this pack does not hold; it holds customer"
    ):
        ik.replay(found, POLICIES["of its own kind"])
    text = (
        "{name: vip, routes: [{intent: '*', match: {ticket_id: HD-3}, primary: big, fallback: small, max_p95_ms: 9}]}"
    )
    with pytest.raises(UnansweredQuestion, match="matches on ticket_id"):
        ik.replay(found, Policy.parse(text))


def test_a_folder_that_is_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("x")
    with pytest.raises(InvalidPack, match="there already and is no pack"):
        pack(Incident.create(), tmp_path / "mine")
    with pytest.raises(UnwritableFile, match="there is no folder"):
        pack(Incident.create(), tmp_path / "none" / "p")
    folder = pack(scattered(1), tmp_path / "p")
    (folder / "README.md").write_text("kept")
    pack(Incident.create(), folder)
    assert sorted(file.name for file in folder.iterdir()) == ["README.md", MANIFEST, "requests.parquet"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["mine", "p"]


class BrokenOff:
    """Files are moved and removed until the ``last``; what is still to be done does not happen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, last: int) -> None:
        self.made, self.last = 0, last
        for name in ("replace", "rename", "unlink"):
            monkeypatch.setattr(Path, name, self._until(getattr(Path, name)))

    def _until(self, whole: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **more: Any) -> Any:
            self.made += 1
            if self.made > self.last:
                raise KeyboardInterrupt
            return whole(*args, **more)

        return call


@pytest.mark.parametrize("is_there", [False, True])
def test_packing_that_is_broken_off_leaves_a_pack_nothing_or_what_can_be_packed_anew(
    tmp_path: Path, *, is_there: bool
) -> None:
    incident, left = scattered(1, requests=60), []
    while True:
        folder = tmp_path / f"p{len(left)}"
        if is_there:
            pack(incident, folder)
        with pytest.MonkeyPatch.context() as patched, suppress(KeyboardInterrupt):
            BrokenOff(patched, len(left))
            pack(incident, folder)
            left.append("done")
            break
        try:
            left.append(f"{len(open_pack(folder).log)} requests" if folder.exists() else "nothing")
        except InvalidPack as error:
            left.append(str(error).partition(" is ")[2])
        assert len(open_pack(pack(incident, folder)).log) == 60
    half = "only half there, its writing was broken off: pack the incident anew"
    assert left == (["60 requests", *[half] * (len(left) - 2), "done"] if is_there else ["nothing", "done"])
    assert len(left) > (len(packed.FILES) if is_there else 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pack(scattered(1, requests=60), tmp_path_factory.mktemp("packs") / "p")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "p"))


def test_a_file_that_is_cut_short_changed_or_gone_is_told(copy: Path) -> None:
    file = copy / "requests.parquet"
    whole = file.read_bytes()
    for content, why in (
        (whole[:-20], r"it has [\d,]+ bytes, [\d,]+ were written"),
        (whole[:100] + b"X" + whole[101:], "its content was changed"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"", "it has 0 bytes"),
    ):
        file.write_bytes(content)
        with pytest.raises(InvalidPack, match=why):
            open_pack(copy)
    file.unlink()
    with pytest.raises(InvalidPack, match=r"requests\.parquet cannot be read: No such file"):
        open_pack(copy)


def test_a_manifest_that_is_cut_short_changed_or_gone_is_told(copy: Path) -> None:
    file = copy / MANIFEST
    text = file.read_text(encoding="utf-8")
    said = json.loads(text)
    for content, why in (
        (text[:50], "cut short, or no JSON"),
        ("[]", "is not what `incident-kit pack` writes"),
        (json.dumps(said | {"pack": 99}), "of pack format 99; this kit reads 1"),
        (json.dumps(said | {"slow_ms": 1}), "changed after it was written"),
        ("[" * 100_000, "cut short, or no JSON"),
    ):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(InvalidPack, match=why):
            open_pack(copy)
    file.write_text(json.dumps(said), encoding="utf-8")  # other line breaks are no change
    assert len(open_pack(copy).log) == 60
    file.unlink()
    assert is_pack(copy), "a pack without its manifest is a damaged pack, not nothing"
    with pytest.raises(InvalidPack, match=r"pack\.json cannot be read"):
        open_pack(copy)


@pytest.mark.parametrize(
    ("table", "frame"),
    [
        ("requests", pl.DataFrame({"request": [1]})),
        ("requests", pl.DataFrame({"after_us": ["x"], "request": [0], "cost_nano": [1], "cost_usd": [1.0]})),
        ("attempts", pl.DataFrame({"request": [None]})),
        ("sla", pl.DataFrame({"ticket": [10**6], "nonsense; drop table requests": [1]})),
        ("lots", pl.DataFrame({"request": [0], "borrow": ["not a number"]})),
    ],
)
def test_a_pack_made_by_hand_is_refused_in_a_sentence(copy: Path, table: str, frame: pl.DataFrame) -> None:
    """Hashes and seal fit: the content does not."""
    from incident_kit.packs import packed

    content = copy / f"{table}.parquet"
    frame.write_parquet(content)
    said = read_manifest(copy)
    size = content.stat().st_size
    said["files"][table] = {"rows": 1, "bytes": size, "sha256": packed._sha256(content.read_bytes())}
    said.pop("sha256")
    (copy / MANIFEST).write_text(json.dumps(said | {"sha256": packed._seal(said)}), encoding="utf-8")
    with pytest.raises(InvalidPack, match="does not hold what a pack holds"):
        open_pack(copy)


def test_a_list_of_files_made_by_hand_is_refused(copy: Path) -> None:
    from incident_kit.packs import packed

    for files in ({"requests": {}}, {"requests": None}, [], {"../../x": {"bytes": 1, "sha256": "x"}}):
        said = {name: value for name, value in read_manifest(copy).items() if name != "sha256"} | {"files": files}
        before = (copy / MANIFEST).read_text(encoding="utf-8")
        (copy / MANIFEST).write_text(json.dumps(said | {"sha256": packed._seal(said)}), encoding="utf-8")
        with pytest.raises(InvalidPack):
            open_pack(copy)
        (copy / MANIFEST).write_text(before, encoding="utf-8")


def test_a_pack_that_was_renamed_or_named_by_its_manifest_opens(copy: Path) -> None:
    moved = copy.rename(copy.with_name("other"))
    assert len(open_pack(moved / MANIFEST).log) == len(open_pack(moved).log) == 60


def test_weights_are_not_those_of_other_ids(tmp_path: Path) -> None:
    """A test of the tests: without the kept draws the weighted policy decides otherwise."""
    incident = scattered(2)
    found = open_pack(pack(incident, tmp_path / "p"))
    mine, theirs = (ik.replay(one, POLICIES["weighted"]).decisions["target"] for one in (incident, found))
    assert mine.to_list() != theirs.to_list()
