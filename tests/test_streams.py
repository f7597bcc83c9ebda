from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from incident_kit.commandline.streams import spell_out

POLICY = "routes: [{intent: возврат, primary: big, fallback: small, max_p95_ms: 2500}]\n"


def described(file: Path, encoding: str) -> str:
    """Return what `describe` writes to a receiver of an encoding, decoded."""
    done = subprocess.run(
        [sys.executable, "-m", "incident_kit", "describe", str(file)],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done.stdout.decode(encoding)


@pytest.mark.parametrize(
    ("encoding", "said"), [("utf-8", "возврат"), ("cp1251", "возврат"), ("cp1252", r"\u0432\u043e")]
)
def test_what_an_encoding_cannot_hold_is_spelt_out(tmp_path: Path, encoding: str, said: str) -> None:
    """Windows redirects into a file in an old encoding."""
    file = tmp_path / "p.yaml"
    file.write_text(POLICY, encoding="utf-8")
    assert said in "".join(described(file, encoding).split())


@pytest.mark.parametrize(("text", "written"), [("a ≥ b → …", b"a >= b -> ..."), ("\U0001f525", rb"\U0001f525")])
def test_the_kits_own_signs_have_plain_ones(text: str, written: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(kept, encoding="ascii", write_through=True))
    spell_out()
    sys.stdout.write(text)
    assert kept.getvalue() == written
