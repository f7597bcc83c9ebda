"""Options: what the kit's errors say of Python's parameters, said of a verb's options."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import typer

# `name=`, and what stands behind it: a list of one text, a text, a number, ...
_PARAMETER = re.compile(
    r"(?<![^\s(])(?P<name>[a-z][a-z_]{2,})="
    r"(?P<value>\[(?P<in_list>'[^']*'|\"[^\"]*\")\]|\{[^{}]*\}|'[^']*'|\"[^\"]*\"|\.\.\.|[\w.]+)?(?!=)"
)
IN_THE_CASE = ("columns", "labels", "tags")  # of a source in incident.yaml; no verb has an option for them


def in_options(message: str, options: Mapping[str, str]) -> str:
    """Return a message in which parameters are called as the options that stand for them.

    Parameters
    ----------
    options
        The option of each parameter that has one: ``{"source": "--source"}``.

    Examples
    --------
    >>> in_options("say which with zone='UTC', or source=...", {"zone": "--zone", "source": "--source"})
    'say which with --zone UTC, or --source ...'
    >>> in_options("map your columns with columns={'latency_ms': 'duration'}", {})
    'map your columns with `columns: {latency_ms: duration}` in incident.yaml'
    """
    told: list[str] = []

    def one(found: re.Match[str]) -> str:
        name, value = found["name"], (found["in_list"] or found["value"] or "").strip("'\"")
        value = "" if value == "True" else value
        if name in IN_THE_CASE and name not in options:
            told.append(f"`{name}: {value}`".replace("'", "").replace(" `", "`"))
            return told[0] + " in incident.yaml" if len(told) == 1 else told[-1]
        if name not in options:
            return found[0]
        return f"{options[name]} {value}".rstrip()

    return _PARAMETER.sub(one, message)


def options_of(app: typer.Typer, words: Sequence[str]) -> dict[str, str]:
    """Return the options of the verb that a command line names, by parameter; nothing where it names none."""
    from typer.main import get_command

    command: Any = get_command(app)
    for word in words:
        inner = getattr(command, "commands", {}).get(word)
        if inner is None:
            break
        command = inner
    found = {one.name: max(one.opts, key=len) for one in getattr(command, "params", ()) if one.opts[0].startswith("-")}
    return {str(name): str(option) for name, option in found.items()}
