"""LoadReport: what one `load` call did, file by file, in values and in plain words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

SHOWN_REASONS = 5


@dataclass(frozen=True)
class Answer:
    """What a log can say about one question: ``answer`` is yes, lower bound or no; ``why`` says what it rests on."""

    question: str
    answer: str
    why: str


@dataclass(frozen=True)
class FileLoad:
    """What became of one file's rows; always ``rows_read = rows_loaded + rows_duplicate + rows_rejected``."""

    load_id: int
    source: str
    path: str
    rows_read: int
    rows_loaded: int
    rows_duplicate: int
    rows_rejected: int
    sha256: str = ""
    reasons: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoadReport:
    """What a `load` call did: its files, the rejected rows, what the log can answer, and what carries no label.

    ``rejects`` has columns load_id, line, reason, record; ``unlabelled`` maps a label to the share of the loaded
    requests without it.
    """

    loads: tuple[FileLoad, ...]
    rejects: pl.DataFrame
    answers: Mapping[str, Answer]
    unlabelled: Mapping[str, float]

    @property
    def rows_read(self) -> int:
        """Rows read, over all files."""
        return sum(item.rows_read for item in self.loads)

    @property
    def rows_loaded(self) -> int:
        """Rows loaded, over all files."""
        return sum(item.rows_loaded for item in self.loads)

    @property
    def rows_duplicate(self) -> int:
        """Rows that were there already, over all files."""
        return sum(item.rows_duplicate for item in self.loads)

    @property
    def rows_rejected(self) -> int:
        """Rows that cannot be used, over all files."""
        return sum(item.rows_rejected for item in self.loads)

    def __str__(self) -> str:
        lines = [text for item in self.loads for text in _file_lines(item)]
        if len(self.loads) > 1:
            total = f"{self.rows_read:,} rows: {self.rows_loaded:,} loaded"
            total += f", {self.rows_duplicate:,} duplicate, {self.rows_rejected:,} rejected"
            # a file that feeds several tables is one file
            files = len({item.path for item in self.loads})
            lines.append(f"{files} file{'s' if files > 1 else ''}, {total}")
        shares = {
            name: "none" if share == 1 else f"{1 - share:.1%}" for name, share in self.unlabelled.items() if share > 0
        }
        missing = [f"{share} carry a {name}" for name, share in shares.items()]
        if missing:
            lines.append("of the requests " + ", ".join(missing).replace("a intent", "an intent"))
        if self.answers:
            lines.append("what this log can answer")
            lines += [f"  {item.question + ':':10} {item.answer:12} {item.why}" for item in self.answers.values()]
        return "\n".join(lines)


def _file_lines(item: FileLoad) -> list[str]:
    counts = f"{item.rows_read:,} rows read, {item.rows_loaded:,} loaded"
    counts += f", {item.rows_duplicate:,} duplicate, {item.rows_rejected:,} rejected"
    lines = [f"{item.path} ({item.source}): {counts}"]
    ranked = sorted(item.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    lines += [f"  {count:,} x {reason}" for reason, count in ranked[:SHOWN_REASONS]]
    if len(ranked) > SHOWN_REASONS:
        lines.append(f"  and {len(ranked) - SHOWN_REASONS} other reasons")
    return lines + [f"  {note}" for note in item.notes]
