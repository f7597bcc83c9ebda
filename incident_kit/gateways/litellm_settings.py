"""LiteLLM's router as it is set up: deployments, fallbacks, retries, cooldown, with the defaults of LiteLLM itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

NUM_RETRIES, COOLDOWN_S, ALLOWED_FAILS, MAX_FALLBACKS = 2, 5.0, 3, 5  # LiteLLM's own defaults

Policy: TypeAlias = Mapping[str, int]  # a number for the name of an exception's kind, without its ending


@dataclass(frozen=True, slots=True)
class Deployment:
    """One deployment of a group; None where the file does not set a value. ``id`` is empty where LiteLLM makes one up."""

    id: str
    group: str
    weight: float = 1.0
    order: int | None = None
    num_retries: int | None = None
    cooldown_s: float | None = None
    allowed_fails: int | None = None
    allowed_fails_policy: Policy | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What decides about calls, retries, fallbacks and cooldowns; times in seconds.

    ``usual_allowed_fails`` is LiteLLM's module-wide value, which the router's own is compared with: only another one
    turns counting by ``allowed_fails`` on. ``is_shared``: cooldowns and allowed-fails counters are kept for all workers.
    ``left_out`` says which settings of the file the emulation does not follow.
    """

    deployments: tuple[Deployment, ...]
    fallbacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    context_window_fallbacks: Mapping[str, tuple[str, ...]] | None = None
    content_policy_fallbacks: Mapping[str, tuple[str, ...]] | None = None
    aliases: Mapping[str, str] = field(default_factory=dict)
    num_retries: int = NUM_RETRIES
    retry_policy: Policy | None = None
    group_retry_policies: Mapping[str, Policy] = field(default_factory=dict)
    retry_after_s: float = 0.0
    max_fallbacks: int = MAX_FALLBACKS
    cooldown_s: float = COOLDOWN_S
    allowed_fails: int | None = None
    usual_allowed_fails: int = ALLOWED_FAILS
    allowed_fails_policy: Policy | None = None
    disable_cooldowns: bool = False
    is_shared: bool = False
    left_out: tuple[str, ...] = ()

    @property
    def counts_fails(self) -> bool:
        """Whether the router counts by ``allowed_fails``: a policy is set, or a number other than the usual one."""
        is_own = self.allowed_fails is not None and self.allowed_fails != self.usual_allowed_fails
        return self.allowed_fails_policy is not None or is_own

    def group_of(self, requested: str) -> str:
        """Return the group that a request's model name means."""
        return self.aliases.get(requested, requested)

    def chain(self, error: str, groups: Sequence[str]) -> tuple[str, ...]:
        """Return where a request goes whose group failed like this: of the first group that has a chain, else of ``*``.

        ``groups`` is the one that failed, then the one that the request was for. A failure class with a list of its own
        looks nowhere else.
        """
        special = {"context_window": self.context_window_fallbacks, "content_policy": self.content_policy_fallbacks}
        chains = special.get(error) or self.fallbacks
        return next((chains[group] for group in (*groups, "*") if group in chains), ())

    def members(self, group: str) -> tuple[Deployment, ...]:
        """Return the deployments of a group, in the file's order."""
        return tuple(one for one in self.deployments if one.group == group)
