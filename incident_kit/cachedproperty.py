"""Cached properties that several threads may ask for: worked out once.

Since Python 3.12 the standard library's may be worked out by each thread that asks, at the same time; here that would be a model
fitted twice, and two questions at once to a connection that answers one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from functools import cached_property as cached_property  # noqa: PLC0414 - types are the standard library's
else:

    class cached_property(functools.cached_property):  # noqa: N801 - it stands in for the standard library's
        """A property that is worked out when it is first asked for, by one thread, and kept."""

        def __init__(self, func: Callable[[Any], Any]) -> None:
            super().__init__(func)
            self._working = RLock()

        def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
            with self._working:
                return super().__get__(instance, owner)
