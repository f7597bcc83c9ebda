# ruff: noqa: S608 - the statements are this test's own
"""LiteLLM's spend logs out of a real PostgreSQL: its own tables, rows as it writes them, and the exports people make."""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from incident_kit.case import HOW_TO_GET_THE_DATA
from incident_kit.incident import Incident

pytestmark = pytest.mark.postgres

ROWS = Path(__file__).parents[1] / "data" / "samples" / "litellm_capture" / "other" / "spend_logs.ndjson.gz"
# LiteLLM keeps a model's whole entry of its price list in every row
PRICE_LIST_BYTES = 7_000


def _found(program: str) -> str | None:
    beside = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    return shutil.which(program) or (str(beside[-1]) if beside else None)


def _as_owner(command: list[str], owner: str | None) -> list[str]:
    return ["runuser", "-u", owner, "--", *command] if owner else command


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    initdb, control, psql = (_found(name) for name in ("initdb", "pg_ctl", "psql"))
    if not (initdb and control and psql):
        pytest.skip("PostgreSQL is not installed")
    if importlib.util.find_spec("litellm_proxy_extras") is None:
        pytest.skip("litellm-proxy-extras, which brings LiteLLM's tables, is not installed (uv sync --group postgres)")
    # PostgreSQL refuses to run as root
    owner = "postgres" if os.getuid() == 0 else None
    with tempfile.TemporaryDirectory(prefix="incident-kit-pg-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        if owner:
            shutil.chown(folder, user=pwd.getpwnam(owner).pw_uid)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        make = [initdb, "-D", str(data), "-A", "trust", "-U", "kit", "--encoding", "UTF8", "--no-sync"]
        subprocess.run(_as_owner(make, owner), check=True, capture_output=True, cwd=folder)
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c timezone=America/New_York"
        start = [control, "-D", str(data), "-l", f"{folder}/log", "-w", "-o", options, "start"]
        subprocess.run(_as_owner(start, owner), check=True, stdout=subprocess.DEVNULL, cwd=folder)
        try:
            url = f"postgresql://kit@127.0.0.1:{port}/postgres"
            _fill(url)
            yield url
        finally:
            stop = [control, "-D", str(data), "-m", "immediate", "stop"]
            subprocess.run(_as_owner(stop, owner), check=True, stdout=subprocess.DEVNULL, cwd=folder)


def _psql(url: str, *arguments: str, sql: str | None = None) -> str:
    command = [str(_found("psql")), url, "-X", "-q", "-v", "ON_ERROR_STOP=1", *arguments]
    done = subprocess.run(command, input=sql, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _fill(url: str) -> None:
    import litellm_proxy_extras

    steps = sorted((Path(litellm_proxy_extras.__file__).parent / "migrations").glob("*/migration.sql"))
    assert len(steps) > 100
    _psql(url, sql="\n".join(step.read_text("utf-8") for step in steps))
    price = {f"key_{number}_cost_per_token": f'{number * 1e-9:.12f} "quoted" \\ back' for number in range(140)}
    with gzip.open(ROWS, "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    for record in records:
        metadata = json.loads(record["metadata"])
        metadata["model_map_information"] = {"model_map_key": record["model"], "model_map_value": price}
        for column, value in (("metadata", metadata), ("request_tags", json.loads(record["request_tags"]))):
            record[column] = value
    assert len(json.dumps(price)) >= PRICE_LIST_BYTES
    columns = ", ".join(f'"{name}"' for name in records[0])
    quoted = "\n".join(json.dumps(record).replace("\\", "\\\\") for record in records)
    _psql(
        url,
        sql=f"create table raw (line jsonb);\ncopy raw from stdin;\n{quoted}\n\\.\n"
        f'insert into "LiteLLM_SpendLogs" ({columns})'
        f' select {columns} from raw, jsonb_populate_record(null::"LiteLLM_SpendLogs", line);',
    )


@pytest.fixture(scope="module")
def expected() -> tuple[pl.DataFrame, pl.DataFrame]:
    return _tables(ROWS)


def _tables(file: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    incident = Incident.create()
    report = incident.load(file)
    (done,) = report.loads
    assert done.source == "litellm_spend"
    assert (done.rows_rejected, done.rows_duplicate) == (0, 0)
    requests = incident.requests().drop("load_id").sort("request_id")
    attempts = incident.attempts().drop("load_id", "attempt_id").sort("request_id", "seq")
    return requests, attempts


def _same(file: Path, expected: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    for got, want in zip(_tables(file), expected, strict=True):
        assert got.height == want.height
        # the table keeps milliseconds
        times = pl.selectors.datetime().dt.timestamp("ms")
        rounded = (*got.select(pl.selectors.datetime()).columns, *({"wait_ms", "latency_ms"} & set(got.columns)))
        assert_frame_equal(got.drop(rounded), want.drop(rounded))
        apart = (got.select(rounded).with_columns(times) - want.select(rounded).with_columns(times)).fill_null(0)
        assert all(column.abs().max() <= 1 for column in apart)


def test_the_export_that_a_new_case_prints_loads_as_the_gateway_wrote_it(
    database: str, expected: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path
) -> None:
    (tmp_path / "logs").mkdir()
    (command,) = re.findall(r"   (psql .*?spend_logs\.csv)\n", HOW_TO_GET_THE_DATA.format(case=tmp_path), re.DOTALL)
    command = command.replace("2026-10-05 12:00", "2026-11-22 00:00").replace("2026-10-05 18:00", "2026-11-24 00:00")
    command = command.replace("psql", str(_found("psql")), 1)
    subprocess.run(["bash", "-c", command], check=True, env={"DATABASE_URL": database})
    _same(tmp_path / "logs" / "spend_logs.csv", expected)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", '\\copy (select * from "LiteLLM_SpendLogs") to spend.csv csv header'],
        ["-c", '\\copy "LiteLLM_SpendLogs" to spend.csv with (format csv, header, delimiter $$;$$)'],
        ["-At", "-o", "spend.ndjson", "-c", 'select row_to_json(s) from "LiteLLM_SpendLogs" as s'],
        ["-At", "-o", "spend.json", "-c", 'select json_agg(s) from "LiteLLM_SpendLogs" as s'],
        ["-c", '\\copy (select row_to_json(s) from "LiteLLM_SpendLogs" as s) to spend.ndjson'],
    ],
    ids=[
        "all columns as CSV",
        "semicolons",
        "a JSON object a row",
        "one JSON array",
        "JSON through copy's text format",
    ],
)
def test_what_else_people_export_loads_the_same(
    database: str, expected: tuple[pl.DataFrame, pl.DataFrame], tmp_path: Path, arguments: list[str]
) -> None:
    command = [str(_found("psql")), database, "-X", "-q", "-v", "ON_ERROR_STOP=1", *arguments]
    subprocess.run(command, check=True, cwd=tmp_path)
    (file,) = tmp_path.iterdir()
    _same(file, expected)
