"""What leaves the machine: no form of a brief, and no page of a notebook, holds a message, an id, a path, a host or a secret."""

from __future__ import annotations

import base64
import getpass
import json
import platform
import re
import shutil
import subprocess
import zlib
from email import message_from_bytes
from email.policy import default
from pathlib import Path

import nbformat
import pytest

import incident_kit as ik
from incident_kit.briefs.briefpage import FORMS
from incident_kit.case import FILE, open_case
from incident_kit.notebookpages.notebookpage import notebook_page
from incident_kit.sources import load

DATA = Path(__file__).parent / "data"
SAID = "my-card-is-4111-1111"
SECRET = "sk-never-in-a-page-0123456789"  # noqa: S105 - made up


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gateway's log with messages, users, addresses and keys in it, in a folder with a name of its own."""
    folder = tmp_path_factory.mktemp("anna-surname") / "customer-gmbh"
    folder.mkdir()
    records = [json.loads(line) for line in (DATA / "litellm.ndjson").read_text(encoding="utf-8").splitlines()]
    for number, record in enumerate(records):
        record |= {
            "id": f"zz-request-{number:04}", "messages": [{"role": "user", "content": SAID}], "response": {"content": SAID},
            "end_user": f"{SAID}@example.com", "requester_ip_address": "203.0.113.77", "api_base": f"https://{SAID}.example",
            "error_str": SAID,
        }  # fmt: skip
    (folder / "spend.ndjson").write_text("".join(json.dumps(record) + "\n" for record in records))
    (folder / "p.yaml").write_text("name: p\nroutes:\n- {intent: '*', primary: primary-chat, fallback: backup-chat}\n")
    (folder / FILE).write_text("title: A day\nsources: [{path: spend.ndjson}]\npolicies: [p.yaml]\n")
    return folder


def readable(file: Path) -> str:
    """Return everything in a file that somebody with tools could read: texts, packed streams, pictures in it."""
    raw = file.read_bytes()
    parts = [raw.decode("utf-8", "replace")]
    if file.suffix == ".eml":
        message = message_from_bytes(raw, policy=default)
        parts += [part.get_content() for part in message.walk() if part.get_content_maintype() == "text"]
    if file.suffix == ".pdf":
        for packed in re.findall(rb"stream\r?\n(.*?)endstream", raw, re.DOTALL):
            try:
                parts.append(zlib.decompress(packed).decode("utf-8", "replace"))
            except zlib.error:
                continue
        if tool := shutil.which("pdftotext"):
            parts.append(subprocess.run([tool, str(file), "-"], capture_output=True, text=True, check=True).stdout)
    for packed in re.findall(r"[A-Za-z0-9+/]{200,}={0,2}", parts[0]):
        try:
            inner = base64.b64decode(packed)
            parts.append((zlib.decompress(inner, 47) if inner[:2] == b"\x1f\x8b" else inner).decode("utf-8", "replace"))
        except (ValueError, zlib.error):
            continue
    return "\n".join(parts)


def leaks(text: str, case: Path) -> list[str]:
    """Return which of what must not leave the machine stands in a text."""
    home, user = str(Path.home()), getpass.getuser()
    wanted = {
        SAID, SECRET, "203.0.113.77", "zz-request-", "anna-surname", "customer-gmbh", str(case), str(Path.cwd()), str(DATA),
        f"{home}/", f"/{user}/", platform.node(),
    }  # fmt: skip
    return sorted(one for one in wanted if len(one) > 3 and one in text)


def test_the_scan_finds_what_is_there(case: Path, tmp_path: Path) -> None:
    hidden = base64.b64encode(f"{'-' * 200}{SAID} in {case}".encode()).decode()
    (tmp_path / "x.html").write_text(f"<p>zz-request-1</p><img src='data:text/plain;base64,{hidden}'>")
    assert {SAID, "zz-request-", "customer-gmbh", str(case)} <= set(leaks(readable(tmp_path / "x.html"), case))


@pytest.mark.slow
def test_no_form_of_a_brief_tells_more_than_it_should(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", SECRET)
    monkeypatch.setenv("DATABASE_URL", f"postgres://{SECRET}@db")
    incident = open_case(case)
    assert incident.about()["requests"]
    board = ik.compare(incident, incident.policies, draws=1)
    for form in FORMS:
        file = ik.brief(
            incident, board, tmp_path / f"brief{form}", pictures=tmp_path / "pictures" if form == ".html" else None
        )
        assert leaks(readable(file), case) == [], form
    for picture in (tmp_path / "pictures").iterdir():
        assert leaks(readable(picture), case) == [], picture.name
    ik.pack(incident, tmp_path / "pack")
    for file in (tmp_path / "pack").iterdir():
        assert leaks(readable(file), case) == [], file.name


def test_no_message_is_kept_in_the_incident_file(case: Path, tmp_path: Path) -> None:
    with ik.Incident.create(tmp_path / "i.duckdb").store as store:
        load(store, case / "spend.ndjson")
        kept = [
            (table, row)
            for (table,) in store.rows("select table_name from duckdb_tables() where not temporary")
            for row in store.frame(f"select * from {table}").rows()  # noqa: S608 - the kit's own tables
            if SAID in str(row) or "203.0.113.77" in str(row)
        ]
    assert kept == []
    assert SAID.encode() not in (tmp_path / "i.duckdb").read_bytes()


def test_no_page_of_a_notebook_tells_more_than_it_should(
    case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_API_KEY", SECRET)
    incident = open_case(case, in_memory=True)
    some = incident.requests()["request_id"][0]
    told = f"{case}/spend.ndjson, {Path.home()}/x, {Path.cwd()}, {platform.node()}: request {some}"
    outputs = [nbformat.v4.new_output("stream", name="stdout", text=told)]
    cells = [nbformat.v4.new_code_cell("show()", outputs=outputs, execution_count=1)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), case / "n.ipynb")
    page = notebook_page(case / "n.ipynb", tmp_path / "n.html", incident=incident)
    assert leaks(readable(page.path), case) == []
