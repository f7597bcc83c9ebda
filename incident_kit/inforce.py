"""In force: which policy a case says made its log, one file or several versions of it (:mod:`policies.policyversions`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from incident_kit.errors import IncidentKitError, InvalidCase, InvalidPolicy, did_you_mean
from incident_kit.policies.policy import Policy
from incident_kit.policies.policyversions import Version, versions
from incident_kit.policies.versionspans import instant, spans_of

KEYS = ("policy", "from", "until")
_GATEWAY = re.compile(r"^(model_list|litellm_settings|router_settings)\s*:", re.MULTILINE)
_OTHERS = re.compile(r'"?\b(strategy|outlier_detection|resilience4j)"?\s*:')


@dataclass(frozen=True, slots=True)
class InForce:
    """One version: a policy file below the case's folder, and when it was in force."""

    policy: str
    since: datetime | None = None
    until: datetime | None = None


def read_in_force(said: Any) -> str | tuple[InForce, ...] | None:
    """Return what stands under ``in_force``: a file, or a list of ``FILE@FROM..UNTIL`` or of mappings policy, from, until.

    Raises
    ------
    InvalidCase
        It is neither; a key is unknown; a time is none or has no zone.
    """
    if said is None or isinstance(said, str):
        return said or None
    if not isinstance(said, list):
        raise InvalidCase(
            "a policy file, or a list of versions: - {policy: policies/old.yaml, until: 2026-10-05T14:00Z}"
        )
    return tuple(_entry(one, f"[{i}]") for i, one in enumerate(said))


def _entry(said: Any, where: str) -> InForce:
    if isinstance(said, str):
        return InForce(*spans_of(said))
    if not isinstance(said, Mapping) or not isinstance(said.get("policy"), str):
        raise InvalidCase(f"{where}: write {{policy: FILE, from: 2026-10-05T12:00Z, until: 2026-10-05T14:00Z}}")
    for key in said:
        if key not in KEYS:
            raise InvalidCase(
                f"{where}: there is no key {key!r}{did_you_mean(str(key), KEYS)}; there are {', '.join(KEYS)}"
            )
    times = [None if said.get(key) is None else instant(_time(said[key]), f"{where}.{key}") for key in KEYS[1:]]
    return InForce(said["policy"], *times)


def _time(said: Any) -> str | datetime:
    return said if isinstance(said, datetime) else str(said)


def in_force_of(said: str | tuple[InForce, ...] | None, root: Path, *, where: str) -> Policy | None:
    """Return the policy that a case says was in force, in versions where it lists several; None where it names none.

    Raises
    ------
    InvalidCase
        The versions overlap or leave a gap, or a file is a gateway's own configuration.
    InvalidPolicy, UnreadableFile
        A policy cannot be used.
    """
    if not said:
        return None
    if isinstance(said, str):
        return _loaded(root / said, where)
    listed = [Version(_loaded(root / one.policy, where), one.since, one.until) for one in said]
    try:
        return versions(listed)
    except InvalidPolicy as error:
        raise InvalidCase(f"{where}: in_force: {error}") from None


def _loaded(path: Path, where: str) -> Policy:
    """Return a policy; what is a gateway's own configuration is told where it belongs."""
    try:
        return Policy.load(path)
    except IncidentKitError:
        text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if _GATEWAY.search(text):
            raise InvalidCase(
                f"{where}: in_force: {path.name} is LiteLLM's own configuration, not a policy: write "
                f"`gateway: {{config: {path.name}, version: 1.106.2}}` (with its own version), and its router is emulated; or "
                f"make a policy of it: incident-kit convert {path.name}"
            ) from None
        if _OTHERS.search(text):
            raise InvalidCase(
                f"{where}: in_force: {path.name} is a gateway's own configuration, not a policy: make one of it with "
                f"incident-kit convert {path.name}"
            ) from None
        raise
