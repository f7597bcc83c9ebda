"""What the command line's `convert` and `export` do: read, write, and say what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from incident_kit.gateways.conversion import convert
from incident_kit.gateways.export import export
from incident_kit.outfiles.outputs import write_whole
from incident_kit.policies.policy import Policy


def convert_command(
    path: Path, *, source: str | None = None, fallback: Sequence[str] = (), out: Path | None = None
) -> tuple[str, str]:
    """Return what goes to the output and to the error stream: the policy (unless `out` holds it), and the report.

    Raises
    ------
    UnreadableFile, InvalidConfiguration
        As `convert`.
    UnwritableFile
        `out` cannot be written.
    """
    made = convert(path, source=source, fallback=fallback)
    text = made.policy.text or made.policy.expand()
    return _written(text, out), str(made.losses)


def export_command(path: Path, *, to: str, out: Path | None = None) -> tuple[str, str]:
    """Return what goes to the output and to the error stream: the export (unless `out` holds it), and the report.

    Raises
    ------
    UnreadableFile, InvalidPolicy
        As `Policy.load`.
    InvalidConfiguration
        There is no export to `to`.
    UnwritableFile
        `out` cannot be written.
    """
    made = export(Policy.load(path), to)
    return _written(made.text, out), str(made.losses)


def _written(text: str, out: Path | None) -> str:
    """Return the text, or, once it is in the file, a sentence that says so."""
    if out is None:
        return text
    write_whole(out, text)
    return f"wrote {out}"
