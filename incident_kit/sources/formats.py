"""Formats: what each vendor's file looks like. A format is one ``.sql`` file; its header comment describes it."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from incident_kit.errors import InvalidRows, UnknownFormat, did_you_mean
from incident_kit.sources.keys import Seen, has

LABELS = ("intent", "ticket_id", "conversation_id", "channel")
QUESTIONS = ("waits", "errors", "tools", "overrides", "tickets", "sla", "fidelity", "intents")
ANSWERS = ("yes", "lower bound", "no")
FOLDERS = ("gateway", "helpdesk", "feedback")
NOT_FOR_US = "not for us: "  # how a format says that a row is sound, but another one's to read
_DESCRIBED = {
    "name", "title", "table", "detect", "contains", "lacks", "refuse", "companions", "decode", "zone", "skips",
    "complete", "labels", "tags", "answers", "one_to_one", "hints",
}  # fmt: skip


@dataclass(frozen=True)
class Format:
    """One kind of file: how it is recognised, where its labels are, what it can answer, and the SQL that maps it.

    ``detect`` are the keys, ``contains`` and ``lacks`` the texts by which it is recognised; ``refuse`` maps a key to the
    sentence with which a file that has it is refused; ``companions`` are formats that read the same file into other
    tables; ``decode`` names a decoder (see decoding.py); ``zone`` is that of times without one, where the source is
    known to write it; ``complete`` says that every attempt of a request is in the file; ``trusted`` formats are the
    kit's own and run inside the incident's database.
    """

    name: str
    title: str
    table: str
    detect: tuple[str, ...] = ()
    contains: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    refuse: Mapping[str, str] = field(default_factory=dict)
    companions: tuple[str, ...] = ()
    decode: str = ""
    zone: str = ""
    skips: str = ""
    complete: bool = False
    trusted: bool = False
    family: str = ""
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    one_to_one: bool = False
    hints: Mapping[str, str] = field(default_factory=dict)
    parameters: frozenset[str] = frozenset()
    sql: str = ""

    def relabelled(
        self, labels: Mapping[str, Sequence[str]] | None = None, tags: Mapping[str, str] | None = None
    ) -> Format:
        """Return a copy whose label paths and tag patterns are replaced, label by label.

        Raises
        ------
        UnknownFormat
            A label is not one of `LABELS`, a path does not start with ``$``, or a pattern has no group to take.
        """
        for name in (*(labels or {}), *(tags or {})):
            if name not in LABELS:
                raise UnknownFormat(
                    f"there is no label {name!r}{did_you_mean(name, LABELS)}; labels are {', '.join(LABELS)}"
                )
        for name, paths in (labels or {}).items():
            if isinstance(paths, str) or not all(isinstance(path, str) and path.startswith("$") for path in paths):
                raise UnknownFormat(
                    f"labels[{name!r}] must be a list of JSON paths such as '$.metadata.{name}', not {paths!r}"
                )
        for name, pattern in (tags or {}).items():
            if not _takes_a_group(pattern):
                raise UnknownFormat(
                    f"tags[{name!r}] must be a pattern with one group, such as '^{name}:(.+)$', not {pattern!r}"
                )
        given = {name: tuple(value) for name, value in (labels or {}).items()}
        return replace(self, labels={**self.labels, **given}, tags={**self.tags, **(tags or {})})

    def arguments(self, *, zone: str | None) -> dict[str, Any]:
        """Return the values of the parameters that the SQL declares."""
        values: dict[str, Any] = {"zone": zone or self.zone or None}
        for name in LABELS:
            values[f"{name}_paths"] = list(self.labels.get(name, ()))
            values[f"{name}_tag"] = self.tags.get(name)
        return {name: values[name] for name in sorted(self.parameters)}

    @property
    def specificity(self) -> int:
        """How many keys and texts must be there: of two formats that match, the one that asks for more wins."""
        return len(self.detect) + len(self.contains)

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Say whether a record has every key and text that this format is recognised by, and none that it must lack."""
        return self.keyed(record) and self.worded([record if isinstance(record, Seen) else Seen(record)])

    def keyed(self, record: Mapping[str, Any]) -> bool:
        """Say whether a record has every key that this format is recognised by."""
        return bool(self.specificity) and all(has(record, key) for key in self.detect)

    def worded(self, records: Sequence[Seen]) -> bool:
        """Say whether every text that this format is recognised by is in one record or another, and no text it must lack."""
        return all(any(part in record.text for record in records) for part in self.contains) and not any(
            part in record.text for record in records for part in self.lacks
        )

    def check(self, samples: Sequence[Mapping[str, Any]], *, shown: str) -> None:
        """Refuse a file of this format that is known to hold nothing usable.

        Raises
        ------
        InvalidRows
            A record has one of the keys in `refuse`.
        """
        for key, sentence in self.refuse.items():
            if any(has(record, key) for record in samples):
                raise InvalidRows(f"{shown} cannot be used as {self.name}: {sentence}")


def _takes_a_group(pattern: str) -> bool:
    try:
        return re.compile(pattern).groups >= 1
    except re.error:
        return False


def parse_format(text: str, *, where: str, family: str = "") -> Format:
    """Return the format that a ``.sql`` file describes: the YAML between its two ``-- ---`` lines, and the statement.

    Those of a ``family`` are the kit's own, and trusted.

    Raises
    ------
    UnknownFormat
        The description is missing, is not YAML, or lacks a name or a table.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    comments = [line[2:].removeprefix(" ") for line in text.splitlines() if line.startswith("--")]
    marks = [number for number, line in enumerate(comments) if line.strip() == "---"]
    if len(marks) != 2:
        raise UnknownFormat(
            f"{where} has no description: put it as YAML between two '-- ---' lines of the header comment"
        )
    try:
        described = YAML(typ="safe", pure=True).load("\n".join(comments[marks[0] + 1 : marks[1]]))
    except YAMLError as error:
        raise UnknownFormat(f"{where}: the description is not YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(described, dict) or not {"name", "table"} <= described.keys():
        raise UnknownFormat(f"{where}: the description needs at least 'name' and 'table'")
    _check_words(described, where=where)
    declared = next((line for line in comments if line.startswith("parameters:")), "")
    return Format(
        name=str(described["name"]),
        title=str(described.get("title", described["name"])),
        table=str(described["table"]),
        detect=tuple(described.get("detect") or ()),
        contains=tuple(described.get("contains") or ()),
        lacks=tuple(described.get("lacks") or ()),
        companions=tuple(described.get("companions") or ()),
        decode=str(described.get("decode", "")),
        zone=str(described.get("zone", "")),
        skips=str(described.get("skips", "")),
        complete=bool(described.get("complete", False)),
        one_to_one=bool(described.get("one_to_one", False)),
        refuse={str(key): str(text) for key, text in (described.get("refuse") or {}).items()},
        labels={name: tuple(paths) for name, paths in (described.get("labels") or {}).items()},
        tags=dict(described.get("tags") or {}),
        answers={question: _answer(text, where=where) for question, text in (described.get("answers") or {}).items()},
        hints={question: str(text) for question, text in (described.get("hints") or {}).items()},
        parameters=frozenset(re.findall(r"\$(\w+)", declared)),
        sql=text,
        family=family,
        trusted=bool(family),
    )


def _check_words(described: Mapping[str, Any], *, where: str) -> None:
    for kind, words, known in (
        ("word", described, sorted(_DESCRIBED)),
        ("question", described.get("answers") or {}, QUESTIONS),
        ("question", described.get("hints") or {}, QUESTIONS),
        ("label", described.get("labels") or {}, LABELS),
        ("label", described.get("tags") or {}, LABELS),
    ):
        for word in words:
            if word not in known:
                near = did_you_mean(str(word), known)
                raise UnknownFormat(f"{where}: there is no {kind} {word!r}{near}; it may be {', '.join(known)}")


def _answer(text: str, *, where: str) -> tuple[str, str]:
    answer, _, why = str(text).partition(":")
    if answer not in ANSWERS or not why.strip():
        raise UnknownFormat(
            f"{where}: an answer reads 'yes: why', 'lower bound: why' or 'no: what to switch on', not {text!r}"
        )
    return answer, why.strip()


@functools.cache
def vendor_formats() -> tuple[Format, ...]:
    """Return the formats that come with the kit as SQL files, by name."""
    root = importlib.resources.files("incident_kit") / "sources"
    found = [
        parse_format(file.read_text(encoding="utf-8"), where=file.name, family=folder)
        for folder in FOLDERS
        for file in (root / folder).iterdir()
        if file.name.endswith(".sql")
    ]
    return tuple(sorted(found, key=lambda item: item.name))


def named_format(name: str, known: Sequence[Format]) -> Format:
    """Return the format of that name, or the one in that ``.sql`` file.

    Raises
    ------
    UnknownFormat
        There is none.
    """
    for item in known:
        if item.name == name:
            return item
    if name.endswith(".sql"):
        try:
            return parse_format(Path(name).read_text(encoding="utf-8"), where=name)
        except OSError as error:
            raise UnknownFormat(f"the format file {name} cannot be read: {error.strerror}") from error
    names = [item.name for item in known]
    raise UnknownFormat(
        f"there is no source {name!r}{did_you_mean(name, names)}; `incident-kit sources` lists them;"
        " a .sql file of yours may be named too"
    )
