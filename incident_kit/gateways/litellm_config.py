"""LiteLLM's ``config.yaml`` read as the settings of its router; what stands in the gateway's environment is unknown here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from incident_kit.errors import InvalidConfiguration
from incident_kit.gateways.foreign import read_source
from incident_kit.gateways.litellm_settings import (
    ALLOWED_FAILS,
    COOLDOWN_S,
    MAX_FALLBACKS,
    NUM_RETRIES,
    Deployment,
    Policy,
    Settings,
)
from incident_kit.gateways.reading import read_text
from incident_kit.policies.policytree import Item, item_of

_UNKNOWN = "os.environ/"
# settings that would change who is called or cooled down, and that the emulation leaves out
_LEFT_OUT = {
    "enable_health_check_routing": "deployments that health probes take out are not: probes are not in a request log",
    "enable_weighted_failover": "a failed request is not sent to the group's other deployments before its fallbacks",
    "enable_pre_call_checks": "requests too long for a deployment are not held back from it",
    "enable_tag_filtering": "tags do not limit which deployments a request may use",
    "provider_budget_config": "budgets take no deployment out",
    "routing_groups": "groups of groups count as no alternative",
}


def read_settings(config: str | Path | Mapping[str, Any]) -> Settings:
    """Return the settings of a ``config.yaml``: a path, its text, or its content as a mapping.

    Raises
    ------
    InvalidConfiguration
        It is no LiteLLM configuration, or a value is of another kind than LiteLLM takes.
    UnreadableFile
        The file is missing or not text.

    Examples
    --------
    >>> settings = read_settings({"model_list": [{"model_name": "chat", "litellm_params": {"model": "openai/x"}}]})
    >>> settings.num_retries, settings.cooldown_s, settings.counts_fails
    (2, 5.0, False)
    """
    if isinstance(config, Mapping):
        return _Reader(item_of(dict(config)), "the configuration").settings()
    text, source = read_source(config)
    return _Reader(read_text(text, source=source), source).settings()


class _Reader:
    """Takes values out of the tree, and says the line where one is not what it must be."""

    def __init__(self, root: Item, source: str) -> None:
        self.source = source
        self.root = root
        self.router = self._part("router_settings")
        self.library = self._part("litellm_settings")

    def settings(self) -> Settings:
        """Return the whole."""
        if self.root.value.get("model_list", Item(None)).value is None:
            known = ", ".join(list(self.root.value)[:5])
            raise InvalidConfiguration(f"{self.source} is no LiteLLM configuration: no model_list, only {known}")
        fallbacks = self._chains("fallbacks") or {}
        default = self._either("default_fallbacks")
        if default is not None:
            fallbacks["*"] = self._names(default, "default_fallbacks")
        usual = self._count(self.library, "allowed_fails")
        return Settings(
            deployments=tuple(self._deployments()),
            fallbacks=fallbacks,
            context_window_fallbacks=self._chains("context_window_fallbacks"),
            content_policy_fallbacks=self._chains("content_policy_fallbacks"),
            aliases=self._aliases(),
            num_retries=_or(self._count(self.router, "num_retries"), self._count(self.library, "num_retries"), NUM_RETRIES),
            retry_policy=self._policy(self.router, "retry_policy", "Retries"),
            group_retry_policies=self._group_policies(),
            retry_after_s=self._number(self.router, "retry_after") or 0.0,
            max_fallbacks=_or(
                self._count(self.router, "max_fallbacks"), self._count(self.library, "max_fallbacks"), MAX_FALLBACKS
            ),
            cooldown_s=self._number(self.router, "cooldown_time") or COOLDOWN_S,  # 0 means the default there
            allowed_fails=_or(self._count(self.router, "allowed_fails"), usual),
            usual_allowed_fails=_or(usual, ALLOWED_FAILS),
            allowed_fails_policy=self._policy(self.router, "allowed_fails_policy", "AllowedFails"),
            disable_cooldowns=self._flag(self.router, "disable_cooldowns"),
            is_shared=any(self.router.get(key, Item(None)).value for key in ("redis_host", "redis_url")),
            left_out=tuple(f"{key}: {why}" for key, why in _LEFT_OUT.items() if self._is_on(key)),
        )  # fmt: skip

    def _deployments(self) -> Iterator[Deployment]:
        for entry in self._list(self.root.value["model_list"], "model_list"):
            own = self._mapping(entry, "an entry of model_list")
            info, params = self._inside(own, "model_info"), self._inside(own, "litellm_params")
            group, name = own.get("model_name", Item(None)), info.get("id", Item(None)).value
            if not isinstance(group.value, str) or not group.value:
                raise self._wrong(entry, "an entry of model_list", "a mapping with model_name")
            yield Deployment(
                id="" if name is None else str(name),
                group=group.value,
                weight=_or(self._number(params, "weight"), 1.0),
                order=self._count(params, "order"),
                num_retries=self._count(params, "num_retries"),
                cooldown_s=_or(self._number(info, "cooldown_time"), self._number(params, "cooldown_time")),
                allowed_fails=self._count(info, "allowed_fails"),
                allowed_fails_policy=self._policy(info, "allowed_fails_policy", "AllowedFails"),
            )

    def _part(self, key: str) -> dict[str, Item]:
        return self._inside(self.root.value, key)

    def _inside(self, mapping: Mapping[str, Item], key: str) -> dict[str, Item]:
        item = mapping.get(key, Item(None))
        return {} if item.value is None else self._mapping(item, key)

    def _mapping(self, item: Item, what: str) -> dict[str, Item]:
        if not isinstance(item.value, dict):
            raise self._wrong(item, what, "a mapping")
        found: dict[str, Item] = item.value
        return found

    def _list(self, item: Item, what: str) -> list[Item]:
        if not isinstance(item.value, list):
            raise self._wrong(item, what, "a list")
        found: list[Item] = item.value
        return found

    def _either(self, key: str) -> Item | None:
        """Return a router's setting, or the library's where the router has none."""
        for part in (self.router, self.library):
            if part.get(key, Item(None)).value:
                return part[key]
        return None

    def _chains(self, key: str) -> dict[str, tuple[str, ...]] | None:
        """Return ``[{group: [others]}, ...]`` as a mapping; the first entry of a group counts."""
        item = self._either(key)
        if item is None:
            return None
        chains: dict[str, tuple[str, ...]] = {}
        for entry in self._list(item, key):
            for group, others in self._mapping(entry, f"an entry of {key}").items():
                chains.setdefault(group, self._names(others, f"{key} of {group}"))
        return chains

    def _names(self, item: Item, what: str) -> tuple[str, ...]:
        """Return the groups of a chain; an entry may be a name, or a mapping with ``model``."""
        if isinstance(item.value, str):
            return (item.value,)
        names = [
            one.value.get("model", Item(None)).value if isinstance(one.value, dict) else one.value
            for one in self._list(item, what)
        ]
        if not all(isinstance(name, str) for name in names):
            raise self._wrong(item, what, "a list of model names")
        return tuple(names)

    def _aliases(self) -> dict[str, str]:
        found = {}
        for alias, item in self._inside(self.router, "model_group_alias").items():
            name = item.value.get("model", Item(None)).value if isinstance(item.value, dict) else item.value
            if not isinstance(name, str):
                raise self._wrong(item, f"model_group_alias.{alias}", "a model name")
            found[alias] = name
        return found

    def _policy(self, part: Mapping[str, Item], key: str, ending: str) -> dict[str, int] | None:
        if part.get(key, Item(None)).value is None:
            return None
        own = self._mapping(part[key], key)
        counts = {name.removesuffix(ending): self._count(own, name) for name in own}
        return {name: count for name, count in counts.items() if count is not None}

    def _group_policies(self) -> dict[str, Policy]:
        own = self._inside(self.router, "model_group_retry_policy")
        return {group: self._policy(own, group, "Retries") or {} for group in own}

    def _number(self, part: Mapping[str, Item], key: str) -> float | None:
        item = part.get(key, Item(None))
        if item.value is None:
            return None
        if isinstance(item.value, str) and item.value.startswith(_UNKNOWN):
            raise self._wrong(item, key, "the number itself (give a copy with the value that the environment holds)")
        try:
            value = -1.0 if isinstance(item.value, bool) else float(item.value)
        except (TypeError, ValueError):
            value = -1.0
        if not 0 <= value <= 1e9:
            raise self._wrong(item, key, "a number from 0 to 1,000,000,000")
        return value

    def _count(self, part: Mapping[str, Item], key: str) -> int | None:
        value = self._number(part, key)
        if value is not None and value != int(value):
            raise self._wrong(part[key], key, "a whole number")
        return None if value is None else int(value)

    def _flag(self, part: Mapping[str, Item], key: str) -> bool:
        value = part.get(key, Item(None)).value
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self._wrong(part[key], key, "true or false")

    def _is_on(self, key: str) -> bool:
        value = self.router.get(key, Item(None)).plain()
        return bool(value)

    def _wrong(self, item: Item, what: str, wanted: str) -> InvalidConfiguration:
        line = f", line {item.line}" if item.line else ""
        found = (
            "a mapping"
            if isinstance(item.value, dict)
            else "a list"
            if isinstance(item.value, list)
            else repr(item.value)
        )
        return InvalidConfiguration(f"{self.source}{line}: {what} must be {wanted}, not {found[:60]}")


def _or(*values: Any) -> Any:
    """Return the first value that is not None."""
    return next((value for value in values if value is not None), None)
