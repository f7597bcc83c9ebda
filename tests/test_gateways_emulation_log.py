"""What the log keeps for LiteLLM's router: how long a failure asked to wait."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from incident_kit.incident import Incident
from incident_kit.samples import sample as bundled


@pytest.fixture(scope="module")
def limited() -> dict[str, Any]:
    """Return a call that was answered with 429, as LiteLLM logs it."""
    with gzip.open(bundled() / "logs" / "standard_logging.ndjson.gz", "rt", encoding="utf-8") as stream:
        for line in stream:
            record: dict[str, Any] = json.loads(line)
            if record["status"] == "failure" and record["error_information"]["error_code"] == "429":
                return record
    raise AssertionError("the sample has no 429")


@pytest.mark.parametrize(
    ("header", "asked_ms"),
    [
        ("2", 2000),
        ("0", 0),
        (None, None),
        ("", None),
        ("soon", None),
        ("2.5", None),  # as LiteLLM: a whole number, or a date
        ("-1", None),
        ("99999999999999999999", None),
        ("Sun, 22 Nov 2026 12:26:00 GMT", 10_000),
        ("Sun, 22 Nov 2026 12:25:45 GMT", -5_000),
    ],
)
def test_retry_after_is_kept(limited: dict[str, Any], tmp_path: Path, header: str | None, asked_ms: int | None) -> None:
    headers = {} if header is None else {"retry-after": header}
    hidden = limited["hidden_params"] | {"additional_headers": headers}
    end = {"startTime": 1795350349.1, "endTime": 1795350349.6}  # 12:25:49.6: whole seconds are left, rounded down
    (tmp_path / "log.ndjson").write_text(json.dumps(limited | end | {"hidden_params": hidden}) + "\n", encoding="utf-8")
    incident = Incident.create()
    incident.load(tmp_path / "log.ndjson", source="litellm_standard")
    assert incident.attempts()["retry_after_ms"].to_list() == [asked_ms]


def test_the_sample_keeps_it_for_what_was_limited(sample: Incident) -> None:
    kept = sample.store.rows(
        "select error_class, retry_after_ms, count(*) from attempts where retry_after_ms >= 0 group by all"
    )
    assert kept == [("429", 2000, 37)]
