"""Ledger: a Parquet file to which finished work is written as it goes, so that work which was stopped goes on where it stopped.

The file is always whole: it is written beside itself, then renamed. It knows what was asked, and no other question may go on
in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path

import polars as pl

from incident_kit.errors import InvalidSweep
from incident_kit.outfiles.outputs import whole

_KEY = "incident_kit.asked."


@dataclass(frozen=True)
class Ledger:
    """A file of finished work; ``asked`` names what the work is of, each part with its fingerprint."""

    path: Path
    asked: Mapping[str, str]

    @classmethod
    def of(cls, path: str | Path, **asked: object) -> Ledger:
        """Return the ledger in a file, which need not be there yet, of work that all of ``asked`` decides."""
        said = {name: blake2b(repr(value).encode(), digest_size=16).hexdigest() for name, value in asked.items()}
        return cls(Path(path), said | {"version": version("incident-kit")})

    def read(self) -> pl.DataFrame | None:
        """Return the work that is finished; None where there is none yet.

        Raises
        ------
        InvalidSweep
            The file is no ledger, or one of other work: the message says what differs.
        """
        if not self.path.exists():
            return None
        try:
            said = pl.read_parquet_metadata(self.path)
            rows = pl.read_parquet(self.path)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InvalidSweep(f"{self.path} cannot be gone on with: {str(error).splitlines()[0]}") from None
        kept = {name.removeprefix(_KEY): value for name, value in said.items() if name.startswith(_KEY)}
        differing = [name for name, value in self.asked.items() if kept.get(name) != value]
        if differing:
            now = "differs from that now" if len(differing) == 1 else "differ from those now"
            what = f"its {_listed(differing)} {now}" if kept else "it was not written to be gone on with"
            raise InvalidSweep(f"{self.path} cannot be gone on with: {what}. Name another file, or remove it")
        return rows

    def write(self, frames: Sequence[pl.DataFrame]) -> None:
        """Put all that is finished into the file, in place of what it held; it is never half written."""
        with whole(self.path) as beside:
            pl.concat(frames).write_parquet(beside, metadata={_KEY + name: value for name, value in self.asked.items()})


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else words[0]
