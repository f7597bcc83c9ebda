"""LogFile: one file on disk, and what its bytes say about it (never its name)."""

from __future__ import annotations

import csv
import glob
import gzip
import hashlib
import io
import json
import shutil
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from incident_kit.errors import UnreadableFile, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

LONGEST_RECORD = 256 * 1024 * 1024
PACKED = 200  # times its own size: logs pack ten to forty to one, what fills a disk a thousand to one and more
UNPACKED = 1 << 30  # bytes that any file may unpack to
SAMPLES = 20
_HEAD = 1 << 20
_GZIP_AT_MOST = 1032  # bytes out of one
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_FOREIGN = {b"PK\x03\x04": "a zip archive", b"BZh": "a bzip2 file", b"\xfd7zXZ": "an xz file", b"DUCK": "a DuckDB file"}
_GLOB = "*?["
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
EACH = "$[*]"  # the member of a file whose every line is a list
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class LogFile:
    """A readable file: ``kind`` is lines, array, page, csv or parquet; ``member`` is the place of a page's records."""

    path: Path
    shown: str
    compression: str
    kind: str
    delimiter: str = ""
    columns: tuple[str, ...] = ()
    samples: tuple[dict[str, Any], ...] = ()
    marked: bool = False  # starts with a byte order mark
    escaped: bool = False  # PostgreSQL's COPY in its text format, which doubles every backslash
    member: str = ""
    renames: tuple[tuple[str, str], ...] = ()

    def sha256(self) -> str:
        """Return the hash of the file as it lies on disk."""
        with self.path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def linked(self, folder: Path) -> LogFile:
        """Return the file under a name in ``folder`` where DuckDB would take its own name for a glob."""
        if not any(character in str(self.path) for character in _GLOB):
            return self
        link = folder / "linked"
        try:
            link.symlink_to(self.path.resolve())
        except OSError:  # Windows lets not everybody
            shutil.copyfile(self.path, link)
        return replace(self, path=link)

    def renamed(self, columns: Mapping[str, str]) -> LogFile:
        """Return the file with its columns under the kit's names; ``columns`` maps the kit's name to the file's.

        Raises
        ------
        UnreadableFile
            The file has no such column.
        """
        if not columns:
            return self
        has = self.columns or tuple(dict.fromkeys(key for record in self.samples for key in record))
        for name, given in columns.items():
            if given not in has:
                shown = ", ".join(repr(word) for word in has[:20])
                raise UnreadableFile(
                    f"{self.shown} has no column {given!r}{did_you_mean(given, has)} to be {name!r}; it has {shown}"
                )
        # a column of the file that already has the kit's name gives way
        names = {name: f"{name} (as in the file)" for name in columns if name in has} | {
            v: k for k, v in columns.items()
        }
        samples = tuple({names.get(key, key): value for key, value in record.items()} for record in self.samples)
        return replace(
            self,
            columns=tuple(names.get(name, name) for name in self.columns),
            samples=samples,
            renames=tuple(names.items()),
        )


def expand(path: str | Path | Sequence[str | Path]) -> list[Path]:
    """Return the files that a path, a glob or a list of them names, sorted within each glob.

    Raises
    ------
    UnreadableFile
        A path does not exist or is a directory, or a glob matches nothing.
    """
    if not isinstance(path, str | Path):
        return [file for item in path for file in expand(item)]
    plain = Path(path).expanduser()
    if plain.is_dir():
        raise UnreadableFile(f"{path} is a directory; name its files, for example {plain / '*.ndjson.gz'}")
    if plain.is_file():
        return [plain]
    if plain.exists():
        # it is read more than once, and a pipe without a writer never ends
        raise UnreadableFile(f"{path} is a pipe, a socket or a device; write its content to a file, and load that")
    if not any(character in str(path) for character in _GLOB):
        raise UnreadableFile(f"{path} does not exist")
    found = sorted(Path(name) for name in glob.glob(str(plain), recursive=True) if Path(name).is_file())  # noqa: PTH207 - absolute and ** patterns
    if not found:
        raise UnreadableFile(f"no file matches {path}")
    return found


@contextmanager
def opened(path: Path, compression: str) -> Iterator[IO[bytes]]:
    """Open a file for reading, unpacked; damage shows as UnreadableFile."""
    try:
        if compression == "zstd":
            import pyarrow as pa  # type: ignore[import-untyped]

            with pa.input_stream(str(path), compression="zstd") as packed, io.BufferedReader(packed) as stream:
                yield stream
        elif compression == "gzip":
            with gzip.open(path, "rb") as unpacked:
                yield cast("IO[bytes]", unpacked)
        else:
            with path.open("rb") as stream:
                yield stream
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UnreadableFile(f"{path} is cut short or damaged: {error}") from error
    except OSError as error:
        reason = "is cut short or damaged" if compression == "zstd" else "cannot be read"
        raise UnreadableFile(f"{path} {reason}: {error.strerror or error}") from error


def inspect(path: Path) -> LogFile:
    """Return what the file's first bytes say: compression, kind, and its first records where they are lines.

    Raises
    ------
    UnreadableFile
        The file is empty, cut short, binary, or in no form the kit reads.
    """
    shown = str(path)
    with opened(path, "none") as stream:
        magic = stream.read(8)
    if not magic:
        raise UnreadableFile(f"{shown} is empty")
    for mark, what in _FOREIGN.items():
        if magic.startswith(mark) or magic[8 - len(mark) :] == mark:
            raise UnreadableFile(
                f"{shown} is {what}; unpack or export it as NDJSON, JSON, CSV or Parquet (gzip and zstd are read)"
            )
    if magic.startswith(b"PAR1"):
        return LogFile(path=path, shown=shown, compression="none", kind="parquet")
    compression = next((name for mark, name in _MAGIC.items() if magic.startswith(mark)), "none")
    if compression != "none":
        _read_through(path, compression)
    head = _first_lines(path, compression)
    text = b"".join(head)
    marked = text.startswith(BOM)
    if not text.removeprefix(BOM).strip():
        raise UnreadableFile(f"{shown} is empty" + (" once unpacked" if compression != "none" else ""))
    if text.startswith(_UTF16):
        raise UnreadableFile(f"{shown} is UTF-16 text; save it as UTF-8")
    if b"\0" in text:
        raise UnreadableFile(f"{shown} is a binary file, not NDJSON, JSON, CSV or Parquet")
    head[0] = head[0].removeprefix(BOM)
    return _recognise(LogFile(path=path, shown=shown, compression=compression, kind="", marked=marked), head)


def _recognise(file: LogFile, head: list[bytes]) -> LogFile:
    first = next(line for line in head if line.strip()).strip()
    values = [value for value in map(_value, head) if value is not None]
    records = [value for value in values if isinstance(value, dict)]

    def of_kind(kind: str, **more: Any) -> LogFile:
        return replace(file, kind=kind, **more)

    if first == b"[" or (first.startswith(b"[") and first[1:].lstrip()[:1] in {b"{", b"]"}):
        lists = [value for value in values if isinstance(value, list)]
        if len(lists) > 1:
            return of_kind(
                "lines", member=EACH, samples=tuple(row for rows in lists for row in rows if isinstance(row, dict))
            )
        return of_kind("array")
    mended = [value for value in map(_value, map(uncopied, head)) if isinstance(value, dict)]
    if len(mended) > len(records):
        return of_kind("lines", samples=tuple(mended), escaped=True)
    if records:
        return of_kind("lines", samples=tuple(records))
    if first.startswith(b"{"):
        return of_kind("page")
    delimiter = max(",;\t", key=lambda mark: first.count(mark.encode()))
    if not first.count(delimiter.encode()):
        raise UnreadableFile(f"{file.shown} is neither NDJSON, JSON, CSV nor Parquet: it starts with {first[:40]!r}")
    try:
        rows = _table(b"".join(head).decode("utf-8", "replace"), delimiter)
    except csv.Error as error:
        raise UnreadableFile(f"{file.shown} cannot be read as CSV: {error}") from error
    columns = _distinct(rows[0])
    samples = tuple(dict(zip(columns, row, strict=True)) for row in rows[1:] if len(row) == len(columns))
    return of_kind("csv", delimiter=delimiter, columns=columns, samples=samples)


def uncopied(line: bytes) -> bytes:
    """Return a line without what COPY's text format does to backslashes."""
    return line.replace(b"\\\\", b"\\")


def _table(text: str, delimiter: str) -> list[list[str]]:
    csv.field_size_limit(LONGEST_RECORD)
    return [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]


def _value(line: bytes) -> Any:
    # only unindented lines: the inner lines of a pretty-printed page are no records
    if line[:1] not in {b"{", b"["}:
        return None
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    seen: list[str] = []
    for number, name in enumerate(names, start=1):
        word = name.strip() or f"column_{number}"
        seen.append(f"{word}_{number}" if word in seen else word)
    return tuple(seen)


def _first_lines(path: Path, compression: str) -> list[bytes]:
    lines: list[bytes] = []
    with opened(path, compression) as stream:
        while len(lines) < 3 * SAMPLES and sum(map(len, lines)) < _HEAD:
            line = stream.readline(_HEAD)
            if len(line) == _HEAD and line.lstrip(BOM + b" \t\r\n").startswith(b"{"):
                # a record longer than usual; a list as long needs no second look
                line += stream.readline(LONGEST_RECORD)
            if not line:
                break
            lines.append(line)
    return lines


def _read_through(path: Path, compression: str) -> None:
    size = path.stat().st_size
    most = max(PACKED * size, UNPACKED)
    if compression == "gzip" and size * _GZIP_AT_MOST <= most:
        return  # it cannot hold more
    unpacked = 0
    with opened(path, compression) as stream:  # to its end: DuckDB takes a truncated zstd file for a short one
        while part := stream.read(1 << 20):
            unpacked += len(part)
            if unpacked > most:
                raise UnreadableFile(
                    f"{path} unpacks to more than {PACKED} times its {size:,} bytes, as no log does; if it is one, "
                    "unpack it and load that"
                )
