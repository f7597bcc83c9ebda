# ruff: noqa: S608 - identifiers are quoted
"""Records: the rows of a log file as a relation DuckDB can read, and the lines that are not records."""

from __future__ import annotations

import csv
import io
import json
import re
from array import array
from dataclasses import dataclass, field, replace
from typing import IO, TYPE_CHECKING, Any

from incident_kit.errors import UnreadableFile
from incident_kit.sources.files import BOM, EACH, LONGEST_RECORD, LogFile, opened, uncopied

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
SHORT_RECORD = 16 * 1024 * 1024
TOO_LONG = f"longer than {LONGEST_RECORD // 2**20} MiB"
_PIECE = 1 << 20


@dataclass(frozen=True)
class Records:
    """SQL that reads the file (its parameters start with ``file_``), where each row was, and the lines left out."""

    file: LogFile
    longest: int = SHORT_RECORD
    lines: array[int] | None = None
    bad: tuple[tuple[int, str], ...] = field(default=())
    held: str = ""  # a temporary table of the records, for formats that read the same file once more

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of `rows` and `objects`."""
        if self.held:
            return {}
        values: dict[str, Any] = {"file_path": str(self.file.path)}
        if self.file.kind == "csv":
            names = dict.fromkeys(self.file.columns, "VARCHAR")
            return values | {
                "file_delimiter": self.file.delimiter,
                "file_compression": self.file.compression,
                "file_columns": names,
            }
        if self.file.kind != "parquet":
            values |= {"file_compression": self.file.compression, "file_longest": self.longest}
            if self.file.member:
                values["file_member"] = self.file.member
        return values

    @property
    def rows(self) -> str:
        """The rows with their own columns: of CSV (all text) and Parquet (typed)."""
        if self.file.kind == "parquet":
            named = ", ".join(f"{quoted(old)} as {quoted(new)}" for old, new in self.file.renames)
            return f"select * {f'rename ({named})' if named else ''} from read_parquet($file_path)"
        return (
            "select * from read_csv($file_path, delim = $file_delimiter, quote = '\"', escape = '\"', header = true,"
            " auto_detect = false, columns = $file_columns, compression = $file_compression)"
        )

    @property
    def objects(self) -> str:
        """The rows as one JSON column ``record``."""
        if self.held:
            return f"select record from {self.held}"
        if self.file.kind in {"csv", "parquet"}:
            return f"select to_json(t) as record from ({self.rows}) as t"
        if self.file.kind == "lines":
            read = "read_ndjson_objects($file_path, ignore_errors = true, "
        else:
            read = (
                f"read_json_objects($file_path, format = '{'array' if self.file.kind == 'array' else 'unstructured'}', "
            )
        read += "compression = $file_compression, maximum_object_size = $file_longest)"
        if self.file.member:
            # a line that is no list is itself the record: nothing may vanish
            listed = "case when json_type(json) = 'ARRAY' then json_extract(json, $file_member) else [json] end"
            inner = listed if self.file.member == EACH else "json_extract(json, $file_member)"
            return f"select unnest({inner}) as record from {read}"
        return f"select json as record from {read}"

    def line(self, ordinal: int) -> int:
        """Return the line of the ``ordinal``-th record, from 1; of a JSON or Parquet file its number."""
        if self.lines is not None and not self.file.member:
            return self.lines[ordinal - 1]
        return ordinal + (self.file.kind == "csv")

    def cleaned(self, folder: Path) -> Records:
        """Return the records of a copy in ``folder`` without the lines that are none, which are listed in ``bad``.

        Raises
        ------
        UnreadableFile
            The file has no lines to leave out: it is one damaged whole.
        """
        if self.file.kind not in {"lines", "csv"}:
            raise UnreadableFile(
                f"{self.file.shown} is damaged or cut short: DuckDB cannot read it as {self.file.kind}"
            )
        copy = folder / "cleaned"
        lines = array("q")
        bad: list[tuple[int, str]] = []
        good = _good_lines(self.file, bad) if self.file.kind == "lines" else _good_rows(self.file, bad)
        with copy.open("wb") as stream:
            if self.file.kind == "csv":
                stream.write(_csv_line(self.file.columns, self.file.delimiter))
            longest = 0
            for line, content in good:
                lines.append(line)
                stream.write(content)
                longest = max(longest, len(content))
        # DuckDB makes room for the longest record that it is told of
        room = SHORT_RECORD if longest < SHORT_RECORD else LONGEST_RECORD
        file = replace(self.file, path=copy, compression="none", marked=False, escaped=False)
        return replace(self, file=file, lines=lines, bad=tuple(bad), longest=room, held="")


def quoted(name: str) -> str:
    """Return a name as an SQL identifier; a file's own column names are not trusted."""
    return '"' + name.replace('"', '""') + '"'


def _good_lines(file: LogFile, bad: list[tuple[int, str]]) -> Iterator[tuple[int, bytes]]:
    with opened(file.path, file.compression) as stream:
        for number, raw in enumerate(_bounded(stream), start=1):
            if raw is None:
                bad.append((number, TOO_LONG))
                continue
            line = (raw.removeprefix(BOM) if number == 1 else raw).strip()
            if file.escaped:
                line = uncopied(line)
            if not line:
                continue
            reason = _fault(line)
            if reason:
                bad.append((number, reason))
            else:
                yield number, line + b"\n"


def _bounded(stream: IO[bytes]) -> Iterator[bytes | None]:
    """Yield the lines of a file; of one that is longer than any record nothing but None, so that it fills no memory."""
    while line := stream.readline(LONGEST_RECORD):
        if len(line) < LONGEST_RECORD or line.endswith(b"\n"):
            yield line
            continue
        while (more := stream.readline(_PIECE)) and not more.endswith(b"\n"):
            pass
        yield None


def _fault(line: bytes) -> str | None:
    try:
        value = json.loads(line.decode("utf-8"))
        if _SURROGATE.search(line):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        return f"not UTF-8 text (byte {error.start + 1})"
    except UnicodeEncodeError:
        return "not JSON: half of a surrogate pair"
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg.lower()} at character {error.pos + 1}"
    except (ValueError, RecursionError) as error:
        return f"not JSON: {str(error)[:80]}"
    return None


def _good_rows(file: LogFile, bad: list[tuple[int, str]]) -> Iterator[tuple[int, bytes]]:
    with (
        opened(file.path, file.compression) as stream,
        io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        # a line that is longer than any record comes in pieces, none of which is a row
        pieces = iter(lambda: text.readline(LONGEST_RECORD), "")
        reader = csv.reader(pieces, delimiter=file.delimiter, strict=True)
        csv.field_size_limit(LONGEST_RECORD)
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                bad.append((reader.line_num, f"not CSV: {error}"))
                continue
            if reader.line_num == 1 or not row:
                continue
            if len(row) != len(file.columns):
                bad.append((reader.line_num, f"{len(row)} fields where the header has {len(file.columns)}"))
                continue
            try:
                yield reader.line_num, _csv_line(row, file.delimiter)
            except UnicodeEncodeError:
                bad.append((reader.line_num, "not UTF-8 text"))


def _csv_line(row: tuple[str, ...] | list[str], delimiter: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, lineterminator="\n").writerow(row)
    return out.getvalue().encode("utf-8")
