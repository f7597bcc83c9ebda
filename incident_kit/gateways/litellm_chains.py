"""A policy's chains as LiteLLM's lists of fallbacks: for every failure, for two kinds of their own, and how they are walked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from incident_kit.gateways.litellm_facts import FALLBACK_ON
from incident_kit.gateways.litellm_hops import shortest, walk

if TYPE_CHECKING:
    from incident_kit.gateways.export import Books
    from incident_kit.policies.routes import Entry, Route

SPECIAL = ("context_window", "content_policy")


@dataclass(slots=True)
class Group:
    """One model group to be written: the route that it stands for, or None where it is only a fallback."""

    name: str
    targets: tuple[tuple[str, float], ...]
    route: Route | None = None
    path: str = ""
    fallbacks: dict[str, list[str]] = field(default_factory=dict)

    def reaches(self, name: str) -> bool:
        """Return whether another group is one of its fallbacks."""
        return any(name in table for table in self.fallbacks.values())


def chain(group: Group, books: Books) -> None:
    """Fill the tables of fallbacks of one group and book its chain."""
    route, path = group.route, group.path
    if route is None:
        return
    for i, entry in enumerate(route.fallback):
        at, last = f"{path}.fallback[{i}]", i == len(route.fallback) - 1
        at = at if books.under(at) else f"{path}.fallback"  # a list of words is one value
        if entry.kind == "model":
            _entry(group, entry, at, books)
        elif entry.kind == "reject" and last:
            books.book(at, "exact", "", "LiteLLM refuses when the last group rests or fails")
        elif entry.kind == "reject":
            books.book(at, "dropped", "", "LiteLLM has no entry that refuses")
        else:
            what = {"human": "hands over to people", "template": "answers without a model", "queue": "holds requests"}
            books.book(at, "dropped", "", f"LiteLLM never {what[entry.kind]}: do it where its refusal arrives")
    if not route.fallback:
        books.book(f"{path}.fallback", "exact", "", "no list: LiteLLM goes nowhere else")
    classes, all_kinds = set(route.fallback_on), {str(one) for one in FALLBACK_ON}
    tables = {kind for kind in SPECIAL if group.fallbacks.get(kind)}
    if classes == all_kinds or (classes | set(SPECIAL) == all_kinds and tables):
        books.book(f"{path}.fallback_on", "exact", "", "LiteLLM goes on after every failure")
    else:
        more = ", ".join(sorted(all_kinds - classes)) or "nothing else"
        seen = sorted(classes & {"tool_error", "invalid_output"})
        how = f"LiteLLM goes on after every failure: also {more}" + f"; it does not see {', '.join(seen)}" * bool(seen)
        books.book(f"{path}.fallback_on", "approximated", "", how)


def _entry(group: Group, entry: Entry, at: str, books: Books) -> None:
    if not entry.only_for:
        group.fallbacks.setdefault("", []).append(entry.model)
        books.book(f"{at}.model", "exact", "router_settings.fallbacks")
        return
    for kind in SPECIAL:
        if kind in entry.only_for:
            group.fallbacks.setdefault(kind, []).append(entry.model)
    fits = set(entry.only_for) <= set(SPECIAL)
    becomes = ", ".join(f"router_settings.{kind}_fallbacks" for kind in SPECIAL if kind in entry.only_for)
    how = "" if fits else "LiteLLM has such a list for context_window and content_policy only"
    for key in ("model", "only_for"):
        books.book(f"{at}.{key}", "exact" if fits else "approximated" if becomes else "dropped", becomes, how)


def walked(groups: dict[str, Group], books: Books) -> None:
    """Write the lists of fallbacks, short ones if they lead the same way, and say where LiteLLM goes on further."""
    wanted = {name: group.fallbacks[""] for name, group in groups.items() if group.fallbacks.get("")}
    tables = shortest(wanted)
    for name, chain in wanted.items():
        group = groups[name]
        group.fallbacks[""] = tables[name]
        if (real := walk(name, tables)) != chain:
            how = f"LiteLLM tries the fallbacks of a fallback before the next one: {', '.join(real)}"
            books.book(f"{group.path}.fallback", "approximated", "router_settings.fallbacks", how[:300])
