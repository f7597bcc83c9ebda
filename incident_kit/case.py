"""Case: a folder with everything needed to repeat a result; ``incident.yaml`` says what is in it."""

from __future__ import annotations

import glob
import hashlib
import importlib.resources
import json
import shutil
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from incident_kit.asked import Decision, Owner
from incident_kit.errors import InvalidCase, InvalidClock, InvalidStore, did_you_mean
from incident_kit.gatewayversions import GatewayVersion, in_order
from incident_kit.incident import SLOW_MS, Incident
from incident_kit.inforce import InForce, in_force_of, read_in_force
from incident_kit.notebookpages.notebookruns import of_a_case
from incident_kit.outfiles.outputs import write_whole
from incident_kit.packs.packed import is_pack, open_pack
from incident_kit.phases import Phase
from incident_kit.policies.policy import Policy
from incident_kit.policies.versionspans import instant
from incident_kit.samples import notebooks
from incident_kit.servicelevels.slasettings import SlaEntry, SlaSettings
from incident_kit.sources.files import expand

FILE = "incident.yaml"
STORE = "incident.duckdb"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Source(_Strict):
    """One entry of ``sources``: a path or glob below the folder, and how to read it."""

    path: str
    format: str | None = None
    labels: dict[str, list[str]] | None = None
    tags: dict[str, str] | None = None
    columns: dict[str, str] | None = None
    zone: str | None = None


class Gateway(_Strict):
    """A gateway's own configuration that was in force, below the folder, the gateway's version, and from when until when."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    config: str
    version: str | None = None
    since: datetime | None = Field(default=None, alias="from")
    until: datetime | None = None

    @field_validator("since", "until", mode="before")
    @classmethod
    def _is_an_instant(cls, at: Any) -> Any:
        return None if at is None else instant(at if isinstance(at, datetime) else str(at), "it")


class Annotation(_Strict):
    """One entry of ``phases``: a phase with an end, or an event."""

    kind: str
    at: datetime
    until: datetime | None = None
    text: str = ""
    link: str = ""

    @field_validator("at", "until", mode="before")
    @classmethod
    def _is_an_instant(cls, at: Any) -> Any:
        if isinstance(at, int | float) or (isinstance(at, str) and at.replace(".", "").isdigit()):
            raise ValueError(f"{at!r} is not a time; write 2026-11-22T12:25:00Z")
        return at

    @model_validator(mode="after")
    def _is_a_phase(self) -> Annotation:
        self.phase()
        return self

    def phase(self) -> Phase:
        """Return the phase that the entry says."""
        return Phase(self.kind, self.at, self.until, self.text, self.link)


class Price(_Strict):
    """US dollars for a million tokens of one target."""

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class Asked(_Strict):
    """The decision that the brief asks for: its text, of whom, by when (a date, or words)."""

    text: str = Field(min_length=1)
    of: str = ""
    by: date | str = ""


class Owned(_Strict):
    """One entry of ``owners``: who does what, by when (a date, or words)."""

    name: str = Field(min_length=1)
    task: str = ""
    by: date | str = ""


class Case(_Strict):
    """What ``incident.yaml`` says; paths are relative to its folder."""

    title: str = ""
    simulated: bool = False
    zone: str = "UTC"
    slow_ms: int = Field(default=SLOW_MS, gt=0)
    sources: tuple[Source, ...] = ()
    phases: tuple[Annotation, ...] = ()
    in_force: str | tuple[InForce, ...] | None = None
    gateway: tuple[Gateway, ...] = ()
    policies: tuple[str, ...] = ()
    prices: dict[str, Price] = {}
    sla: SlaEntry = SlaEntry()
    ticket_link: str = ""
    decision: Asked | None = None
    owners: tuple[Owned, ...] = ()
    contacts: dict[str, str] = {}

    @field_validator("ticket_link")
    @classmethod
    def _is_a_link(cls, link: str) -> str:
        if link and (not link.startswith(("https://", "http://")) or "{ticket_id}" not in link):
            raise ValueError(f"{link!r} is no link; write https://desk.example/tickets/{{ticket_id}}")
        return link

    @field_validator("gateway", mode="before")
    @classmethod
    def _are_gateways(cls, said: Any) -> Any:
        return [] if said is None else [said] if isinstance(said, dict) else said

    @field_validator("in_force", mode="before")
    @classmethod
    def _are_versions(cls, said: Any) -> str | tuple[InForce, ...] | None:
        return read_in_force(said)

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, zone: str) -> str:
        if zone not in available_timezones():
            raise ValueError(f"there is no time zone {zone!r}{did_you_mean(zone, available_timezones())}")
        return zone


def read_case(folder: str | Path) -> Case:
    """Return what a folder's ``incident.yaml`` says.

    Raises
    ------
    InvalidCase
        There is no such file, or it cannot be used; the message names every fault and where it stands.
    """
    file = _file(folder)
    try:
        tree = YAML(typ="safe", pure=True).load(file.read_text(encoding="utf-8"))
    except (YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidCase(f"{file} is not YAML: {' '.join(str(error).split())[:300]}") from None
    except OSError as error:
        raise InvalidCase(
            f"{file} cannot be read: {error.strerror}. `incident-kit new {Path(folder)}` makes a case"
        ) from None
    try:
        return Case.model_validate(tree or {})
    except ValidationError as error:
        faults = [_fault(one) for one in error.errors()]
        raise InvalidCase(f"{file}: {'; '.join(faults)}") from None


def _file(folder: str | Path) -> Path:
    path = Path(folder)
    return path if path.is_file() else path / FILE


def _fault(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] == "extra_forbidden":
        parts: dict[str, type[BaseModel]] = {
            "sla": SlaEntry, "sources": Source, "phases": Annotation, "prices": Price, "decision": Asked, "owners": Owned,
            "gateway": Gateway,
        }  # fmt: skip
        fields = parts.get(str(error["loc"][0]), Case).model_fields
        known = [field.alias or name for name, field in fields.items()]
        key = str(error["loc"][-1])
        return f"{where}: there is no key {key!r}{did_you_mean(key, known)}; there are {', '.join(known)}"
    return f"{where}: {error['msg'].removeprefix('Value error, ')}"


def open_case(
    folder: str | Path,
    *,
    in_memory: bool = False,
    read_only: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Incident:
    """Return a case as an incident, its sources loaded and its phases set; what was loaded before is not loaded again.

    The tables are kept in ``incident.duckdb`` in the folder, or nowhere (``in_memory``). They are made anew when the
    sources are no longer those that they came from. One process at a time can have that file, or several ``read_only``:
    then it is opened so where nothing is to be loaded.

    Raises
    ------
    InvalidCase
        ``incident.yaml`` is missing or cannot be used, or the tables hold more than it ever listed.
    UnreadableFile, UnknownFormat
        A source cannot be loaded; nothing of it is.
    """
    if not _file(folder).is_file() and is_pack(folder):
        return open_pack(folder)
    case = read_case(folder)
    root = _file(folder).parent
    policies = tuple(Policy.load(root / path) for path in case.policies)
    in_force = in_force_of(case.in_force, root, where=str(_file(folder)))
    sla = _sla(case, _file(folder))
    path = root / STORE
    found = _as_it_is(path, case, root) if read_only and path.exists() and not in_memory else None
    incident = found or (
        Incident.create() if in_memory else Incident.open(path) if path.exists() else Incident.create(path)
    )
    try:
        if found is None:
            _load(incident, case, root, progress)
    except BaseException:
        incident.store.close()
        raise
    incident.title, incident.zone = case.title, str(ZoneInfo(case.zone))
    incident.slow_ms, incident.is_simulated = case.slow_ms, case.simulated
    incident.ticket_link = case.ticket_link
    incident.decision = Decision(case.decision.text, case.decision.of, case.decision.by) if case.decision else None
    incident.owners = tuple(Owner(one.name, one.task, one.by) for one in case.owners)
    incident.contacts = dict(case.contacts)
    incident.store.run("delete from annotations")
    for one in case.phases:
        incident.annotate(one.kind, one.at, one.until, text=one.text, link=one.link)
    incident.prices = {target: (price.input, price.output) for target, price in case.prices.items()}
    incident.policies, incident.in_force = policies, in_force
    incident.sla_settings = sla
    incident.gateways = in_order(
        [GatewayVersion(_there(root / one.config), one.version, one.since, one.until) for one in case.gateway]
    )
    return incident


def _sla(case: Case, file: Path) -> SlaSettings:
    try:
        return case.sla.settings()
    except InvalidClock as error:
        raise InvalidCase(f"{file}: sla: {error}") from None


def _there(path: Path) -> Path:
    if not path.is_file():
        raise InvalidCase(f"gateway.config: there is no file {path}")
    return path


def _as_it_is(path: Path, case: Case, root: Path) -> Incident | None:
    """Return the incident opened to be read only, where it holds what the sources name and nothing else; else None."""
    try:
        incident = Incident.open(path, read_only=True)
    except InvalidStore:
        return None  # opened to be written it is mended, or says what is wrong
    before = dict(incident.store.rows("select key, value from meta"))
    is_loaded = before.get("sources") == _said(case) and "files" in before
    if is_loaded and set(json.loads(before["files"])) == _hashes(case, root, wanted=True):
        return incident
    incident.store.close()
    return None


def _said(case: Case) -> str:
    return json.dumps([source.model_dump() for source in case.sources], sort_keys=True)


def _load(incident: Incident, case: Case, root: Path, progress: Callable[[str], None] | None) -> None:
    """Load the case's sources into the incident, and keep nothing of sources that were there before."""
    store = incident.store
    said = _said(case)
    before = dict(store.rows("select key, value from meta"))
    once = set(json.loads(before.get("files", "[]")))
    # a file that is gone, or whose content is another one: what it brought must not stay
    if before.get("sources", said) != said or not once <= _hashes(case, root, wanted=bool(once)):
        _emptied(incident, once, root)
    incident.reports = tuple(
        incident.load(
            _within(root, source.path), source=source.format, labels=source.labels, tags=source.tags, columns=source.columns,
            zone=source.zone, progress=progress,
        )
        for source in case.sources
    )  # fmt: skip
    # a file that was there already is one load, however often the case is opened
    store.run("delete from loads where rows_loaded = 0 and sha256 in (select sha256 from loads where rows_loaded > 0)")
    files = {file.sha256 for report in incident.reports for file in report.loads}
    for key, value in (("sources", said), ("files", json.dumps(sorted(files)))):
        store.run("insert or replace into meta values ($key, $value)", {"key": key, "value": value})


def _within(root: Path, path: str) -> str:
    """Return a source's path or glob below the folder, whose own name is no glob."""
    whole = root / path
    return str(whole) if whole.exists() or Path(path).is_absolute() else str(Path(glob.escape(str(root))) / path)


def _hashes(case: Case, root: Path, *, wanted: bool) -> set[str]:
    """Return the hashes of the files that the sources name now, as loads keep them; nothing where they are not wanted."""
    files = expand([_within(root, source.path) for source in case.sources]) if wanted else []
    return {_sha256(file) for file in files}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _emptied(incident: Incident, known: set[str], root: Path) -> None:
    """Empty the tables of a case, unless they hold files that its sources never named."""
    store = incident.store
    extra = sorted({path for sha256, path in store.rows("select sha256, path from loads") if sha256 not in known})
    if extra:
        raise InvalidCase(
            f"the sources of {root / FILE} changed, and {store.path} also holds {', '.join(extra)}: list these under "
            f"sources: too, then remove {store.path} to load everything anew"
        )
    with store.transaction():
        for (table,) in store.rows(
            "select table_name from duckdb_tables() where not temporary and table_name <> 'meta'"
        ):
            store.run(f"delete from {table}")  # noqa: S608 - the kit's own tables
        store.run("delete from meta where key in ('sources', 'files')")


HOW_TO_GET_THE_DATA = """\
1. Get the data into {case}/logs. From LiteLLM's spend logs in Postgres, a window of them and no prompts:

   psql "$DATABASE_URL" -c 'copy (select request_id, call_type, spend, prompt_tokens, completion_tokens, "startTime",
     "endTime", "completionStartTime", model, model_id, model_group, custom_llm_provider, metadata, cache_hit, request_tags,
     session_id, status from "LiteLLM_SpendLogs" where "startTime" >= $$2026-10-05 12:00$$
     and "startTime" < $$2026-10-05 18:00$$) to stdout csv header' > {case}/logs/spend_logs.csv

   Spend logs hold one row a request: no failed attempt, no tool call, few tickets. LiteLLM's S3, GCS or generic API logger
   (StandardLoggingPayload) answers more.

   From Zendesk, page by page until end_of_stream (START is the incident's start in epoch seconds):

   curl -u "$EMAIL/token:$TOKEN" \\
     "https://YOURS.zendesk.com/api/v2/incremental/ticket_metric_events.json?start_time=START" > {case}/logs/metric_events.json

   What agents did with suggestions, as a CSV: suggestion_id, ticket_id, request_id, shown_at, decided_at, decision.

2. List the files under sources: in {case}/incident.yaml, then see what they can answer:

   incident-kit load {case}

3. Edit {case}/policies/per-intent.yaml, then: incident-kit replay {case} and incident-kit brief {case}
   The notebooks beside incident.yaml read it too: jupyter lab {case}
"""


def new_case(folder: str | Path) -> Path:
    """Return the folder of a new case: ``incident.yaml``, an example policy, and the notebooks.

    Raises
    ------
    InvalidCase
        The folder is there and not empty.
    """
    path = Path(folder)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InvalidCase(f"{path} is there already and not empty; give a new name")
    template = importlib.resources.files("incident_kit") / "templates" / "case"
    with importlib.resources.as_file(template) as source:
        shutil.copytree(source, path, dirs_exist_ok=True)
    (path / "logs").mkdir(exist_ok=True)
    for notebook in notebooks():
        write_whole(path / notebook.name, of_a_case(notebook.read_text(encoding="utf-8")))
    return path
