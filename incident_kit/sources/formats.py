"""Formats: what each vendor's file looks like. A format is one ``.sql`` file; its header comment describes it."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from incident_kit.errors import UnknownFormat, did_you_mean

LABELS = ("intent", "ticket_id", "conversation_id", "channel")
QUESTIONS = ("waits", "errors", "tools", "overrides", "tickets", "sla", "fidelity", "intents")
ANSWERS = ("yes", "lower bound", "no")
FOLDERS = ("gateway", "helpdesk", "feedback")


@dataclass(frozen=True)
class Format:
    """One kind of file: how it is recognised, where its labels are, what it can answer, and the SQL that maps it."""

    name: str
    title: str
    table: str
    detect: tuple[str, ...] = ()
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
        values: dict[str, Any] = {"zone": zone}
        for name in LABELS:
            values[f"{name}_paths"] = list(self.labels.get(name, ()))
            values[f"{name}_tag"] = self.tags.get(name)
        return {name: values[name] for name in sorted(self.parameters)}

    def matches(self, record: Mapping[str, Any]) -> bool:
        """Say whether a record has every key that this format is recognised by."""
        return bool(self.detect) and all(_has(record, key) for key in self.detect)


def _takes_a_group(pattern: str) -> bool:
    try:
        return re.compile(pattern).groups >= 1
    except re.error:
        return False


def _has(record: Any, dotted: str) -> bool:
    for key in dotted.split("."):
        if not isinstance(record, Mapping) or key not in record:
            return False
        record = record[key]
    return True


def parse_format(text: str, *, where: str) -> Format:
    """Return the format that a ``.sql`` file describes: the YAML between its two ``-- ---`` lines, and the statement.

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
    unknown = [question for question in (described.get("answers") or {}) if question not in QUESTIONS]
    if unknown:
        raise UnknownFormat(f"{where}: there is no question {unknown[0]!r}{did_you_mean(unknown[0], QUESTIONS)}")
    declared = next((line for line in comments if line.startswith("parameters:")), "")
    return Format(
        name=str(described["name"]),
        title=str(described.get("title", described["name"])),
        table=str(described["table"]),
        detect=tuple(described.get("detect", ())),
        labels={name: tuple(paths) for name, paths in (described.get("labels") or {}).items()},
        tags=dict(described.get("tags") or {}),
        answers={question: _answer(text, where=where) for question, text in (described.get("answers") or {}).items()},
        one_to_one=bool(described.get("one_to_one", False)),
        hints={question: str(text) for question, text in (described.get("hints") or {}).items()},
        parameters=frozenset(re.findall(r"\$(\w+)", declared)),
        sql=text,
    )


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
    files = [file for folder in FOLDERS for file in (root / folder).iterdir() if file.name.endswith(".sql")]
    found = [parse_format(file.read_text(encoding="utf-8"), where=file.name) for file in files]
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
        f"there is no source {name!r}{did_you_mean(name, names)}; sources are"
        f" {', '.join(dict.fromkeys(names))}, or a .sql file of yours"
    )
