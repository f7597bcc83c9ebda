"""What a text gives away about the machine and the case it was made on: paths, host, secrets, ids; and the text without it."""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from incident_kit.errors import UnfitNotebook

_STOP = r"[^\s'\"<>|:;,()\[\]{}&`]"
_ROOTS = "home|Users|root|tmp|var|private|opt|usr|srv|mnt|media|Volumes|workspaces?|builds|etc|data"
_PATH = re.compile(
    rf"(?<![\w./:\\-])(?:file://)?(?:[A-Za-z]:)?[\\/]+(?:{_ROOTS})[\\/]+{_STOP}+|\b[A-Za-z]:[\\/]+{_STOP}+"
)
_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|COOKIE|DATABASE_URL|DSN", re.IGNORECASE)
_TOKEN = re.compile(r"[^\s'\"<>|:;,()\[\]{}&`=]+")
_NAMED = re.compile(r"\b(request|ticket|conversation|suggestion)s?(?:_id)?[\s#:=]{1,3}#?(\d+)\b", re.IGNORECASE)
SHORTEST = 4  # characters of an id; a shorter one is a number like any other


class Fingerprints:
    """What to look for, and how often it was found. ``clean`` returns a text without it.

    Parameters
    ----------
    folders
        Folders whose paths are to go, besides the ones of this process and those that any machine has.
    ids
        Given the words of the texts, those that are ids, each with the noun for it (``"request"``); None keeps ids.
    """

    def __init__(
        self, *, folders: Iterable[Path] = (), ids: Callable[[list[str]], Mapping[str, str]] | None = None
    ) -> None:
        own = (Path.home(), Path.cwd(), Path(tempfile.gettempdir()), Path(sys.prefix), Path(sys.base_prefix), *folders)
        known = {str(form) for one in own for form in (one, one.absolute(), one.resolve())}
        self._folders = {one for one in known if len(Path(one).parts) > 1}
        longest = "|".join(re.escape(one) for one in sorted(self._folders, key=lambda one: (-len(one), one)))
        self._known = re.compile(rf"(?<![\w.-])(?:{longest})(?:[\\/]{_STOP}*|(?![\w-]))")
        host = platform.node()
        # a name that is a plain word would take that word out of every sentence
        is_telling = len(host) > 3 and re.search(r"[\d.-]", host)
        self._host = re.compile(rf"(?<![\w.-]){re.escape(host)}(?![\w-])") if is_telling else None
        named = ((name, value) for name, value in os.environ.items() if _SECRET.search(name))
        self._secrets = [(name, value) for name, value in named if len(value) > 7]
        self._find = ids
        self._ids: dict[str, str] = {}
        self.paths: Counter[str] = Counter()
        self.lookalikes: set[str] = set()

    def learn(self, texts: Iterable[str]) -> None:
        """Look the words of all texts up among the ids, before any text is cleaned."""
        if self._find is None:
            return
        words = {token.strip(".") for text in texts for token in _TOKEN.findall(text)}
        found = self._find(sorted(word for word in words if len(word) >= SHORTEST))
        counts: Counter[str] = Counter()
        for one in sorted(found):
            counts[found[one]] += 1
            self._ids[one] = f"{found[one]}-{counts[found[one]]}"

    def clean(self, text: str, *, where: str) -> str:
        """Return the text without paths of a machine, its name, and ids.

        Raises
        ------
        UnfitNotebook
            It shows the value of an environment variable that is a secret; the message names the variable only.
        """
        for name, value in self._secrets:
            if value in text:
                raise UnfitNotebook(
                    f"{where} shows the value of the environment variable {name}: remove it there, run the notebook again, "
                    "and change that secret if anybody has seen it"
                )
        for pattern in (self._known, _PATH):
            text = pattern.sub(self._shortened, text)
        if self._host is not None:
            text = self._host.sub("…", text)
        return self._without_ids(text) if self._ids else text

    def _shortened(self, found: re.Match[str]) -> str:
        self.paths[found[0]] += 1
        parts = [part for part in re.split(r"[\\/]+", found[0]) if part]
        is_known = found[0].rstrip("\\/") in self._folders
        return "…" if is_known or len(parts) < 3 else f"…/{parts[-1]}"  # two parts: the second may be a person's name

    def _without_ids(self, text: str) -> str:
        """Return the text with a stand-in for each id; a bare number is one only where the noun stands before it."""
        text = _NAMED.sub(lambda one: one[0].replace(one[2], self._ids.get(one[2], one[2])), text)
        return _TOKEN.sub(self._stand_in, text)

    def _stand_in(self, found: re.Match[str]) -> str:
        bare = found[0].strip(".")
        if bare not in self._ids:
            return found[0]
        if bare.isdigit():
            self.lookalikes.add(bare)
            return found[0]
        return found[0].replace(bare, self._ids[bare])
