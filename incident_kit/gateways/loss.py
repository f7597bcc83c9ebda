"""Losses: what became of every key when a configuration was carried from one language into another."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from incident_kit.words import label

if TYPE_CHECKING:
    import polars as pl

Fidelity = Literal["exact", "approximated", "dropped"]
Steps = tuple[str | int, ...]
FIDELITIES: tuple[Fidelity, ...] = ("exact", "approximated", "dropped")
SHOWN_FIRST: tuple[Fidelity, ...] = ("approximated", "dropped", "exact")
UNKNOWN = "not a key that this kit knows: nothing in the result rests on it"
HIDDEN = "(not shown)"
_SECRET = re.compile(
    r"(^|[_-])(api_?key|key|secret|token|password|passwd|credentials?|authorization|salt|dsn|database_url|redis_url)$"
    r"|secret|password|authorization",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"(?i)\bsk-|://[^/\s]*@|bearer\s|-----begin")
_COST = re.compile(r"cost", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Loss:
    """What became of one key.

    Parameters
    ----------
    key, line, value
        Where it stands in the input (line 0: it came without lines), and its value; secrets are not shown.
    fidelity
        ``exact``; ``approximated``: `how` says in what it differs; ``dropped``: `how` says why.
    becomes
        The key in the result that holds it; empty if none does.
    default
        The input does not hold the key; the product's own default was written out.
    """

    key: str
    line: int
    value: str
    fidelity: Fidelity
    becomes: str = ""
    how: str = ""
    default: bool = False

    def __str__(self) -> str:
        where = f" -> {self.becomes}" if self.becomes else ""
        why = f": {self.how}" if self.how else ""
        return f"{self.fidelity:12} {self.key} = {self.value}{where}{why}"


@dataclass(frozen=True, slots=True)
class Losses(Sequence[Loss]):
    """The report of one conversion: a row for every key of the input, and one for every default that was written out."""

    rows: tuple[Loss, ...]
    title: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Any:
        return self.rows[index]

    def __iter__(self) -> Iterator[Loss]:
        return iter(self.rows)

    @property
    def counts(self) -> dict[str, int]:
        """Rows by fidelity: ``exact``, ``approximated``, ``dropped``."""
        found = Counter(row.fidelity for row in self.rows)
        return {fidelity: found[fidelity] for fidelity in FIDELITIES}

    def of(self, key: str) -> tuple[Loss, ...]:
        """Return the rows of one key and of all that stands under it."""
        return tuple(row for row in self.rows if row.key == key or row.key.startswith((f"{key}.", f"{key}[")))

    @property
    def frame(self) -> pl.DataFrame:
        """A row a key: key, line, value, fidelity, becomes, how, default."""
        import polars as pl

        fields = ("key", "line", "value", "fidelity", "becomes", "how", "default")
        kinds: dict[str, Any] = {"line": pl.Int64, "fidelity": pl.Enum(FIDELITIES), "default": pl.Boolean}
        return pl.DataFrame(
            {field: [getattr(row, field) for row in self.rows] for field in fields},
            schema={field: kinds.get(field, pl.String) for field in fields},
        )

    def __str__(self) -> str:
        said = ", ".join(f"{count} {fidelity}" for fidelity, count in self.counts.items())
        defaults = sum(row.default for row in self.rows)
        said += f" ({defaults} of them product defaults, written out)" * bool(defaults)
        rows = sorted(self.rows, key=lambda row: SHOWN_FIRST.index(row.fidelity))
        return "\n".join([f"{self.title}: {said}" if self.title else said, *(f"  {row}" for row in rows)])


class Ledger:
    """The account of one conversion: every leaf of the input is booked once, and what nobody booked is dropped aloud."""

    def __init__(self, leaves: dict[Steps, tuple[int, Any]], *, title: str) -> None:
        self.leaves = leaves
        self.title = title
        self.booked: dict[Steps, Loss] = {}
        self.extra: dict[Loss, None] = {}

    def book(self, steps: Steps, fidelity: Fidelity, becomes: str, how: str) -> None:
        """Book one leaf; a second booking may only lower its fidelity, and adds its reason."""
        line, value = self.leaves[steps]
        row = Loss(text_of(steps), line, shown(steps, value), fidelity, becomes, _clean(how))
        if (old := self.booked.get(steps)) is not None:
            row = _both(old, row)
        self.booked[steps] = row

    def default(self, key: str, value: Any, becomes: str, *, how: str = "", fidelity: Fidelity = "exact") -> None:
        """Book a value that the input leaves unsaid and the product fills in."""
        why = "product default" + (f"; {how}" if how else "")
        row = Loss(_clean(key), 0, _clean(str(value)), fidelity, becomes, _clean(why), default=True)
        self.extra[row] = None

    def losses(self) -> Losses:
        """Return the report; leaves that were not booked are dropped as unknown."""
        rows = [
            self.booked.get(steps)
            or Loss(
                text_of(steps), line, shown(steps, value), "dropped", how=UNKNOWN if value is not None else "no value"
            )
            for steps, (line, value) in self.leaves.items()
        ]
        return Losses((*rows, *self.extra), self.title)


def _both(old: Loss, new: Loss) -> Loss:
    """Return one row for a key that serves twice: the worse fidelity, every reason once."""
    fidelity = max(old.fidelity, new.fidelity, key=FIDELITIES.index)
    becomes = _joined(", ", old.becomes, new.becomes)
    return replace(old, fidelity=fidelity, becomes=becomes, how=_joined("; ", old.how, new.how))


def _joined(mark: str, *texts: str) -> str:
    return mark.join(dict.fromkeys(part for text in texts if text for part in text.split(mark)))


def _clean(text: str) -> str:
    return label(text, longest=1000) if text else ""


def text_of(steps: Steps) -> str:
    """Return a path as people write it: ``model_list[0].litellm_params.model``."""
    text = ""
    for step in steps:
        word = f"[{step}]" if isinstance(step, int) else label(step, longest=200) if step else '""'
        text += word if isinstance(step, int) or not text else f".{word}"
    return text


def shown(steps: Steps, value: Any) -> str:
    """Return a value for people: on one line, short, and never a secret."""
    keys = [step for step in steps if isinstance(step, str)]
    if any(_SECRET.search(key) and not _COST.search(key) for key in keys) or "environment_variables" in keys:
        return HIDDEN
    text = str(value).lower() if isinstance(value, bool) else "null" if value is None else str(value)
    return HIDDEN if _SECRET_VALUE.search(text) else (label(text, longest=80) if text else '""')
