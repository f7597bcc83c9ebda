"""Where LiteLLM sends a request that failed: three tables of fallbacks, names for all groups, and how far it walks."""

from __future__ import annotations

from incident_kit.gateways.foreign import Node
from incident_kit.gateways.litellm_facts import MAX_FALLBACKS
from incident_kit.gateways.litellm_groups import Settings
from incident_kit.gateways.litellm_hops import walk

Table = dict[str, list[str]]
DEEPEST, LONGEST = 100, 100


class Fallbacks:
    """The tables of one configuration; `regular` counts for every failure that has no table of its own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.longest = self._hops()
        self.special = {
            failure: self._table(f"{failure}_fallbacks") for failure in ("context_window", "content_policy")
        }
        self.regular = self._defaults_to_all(self._table("fallbacks") or {})
        self.aliases = self._aliases()

    def _hops(self) -> int:
        node = self.settings.get("max_fallbacks")
        count = node.count() if node is not None else None
        if node is not None and count is not None:
            node.exact("fallback")
            return min(count, DEEPEST)
        self.settings.ledger.default("router_settings.max_fallbacks", MAX_FALLBACKS, "fallback")
        return MAX_FALLBACKS

    def _table(self, key: str) -> Table | None:
        """Return one table of fallbacks by group, or None where there is none."""
        node = self.settings.get(key)
        if node is None or not node.value:
            return None
        table: Table = {}
        for pair in node.each() if isinstance(node.value, list) else [node]:
            for group, targets in pair.pairs():
                if group not in table:  # the first one is taken
                    table[group] = self._targets(targets)
                else:
                    targets.dropped(f"{group} stands earlier in the list: the first one is taken")
        return table

    def _targets(self, node: Node) -> list[str]:
        found: list[str] = []
        for target in node.each() if isinstance(node.value, list) else [node]:
            if isinstance(target.value, dict):
                model = target.get("model")
                if model is None:
                    raise target.wrong("the name of a model group, or a mapping with `model`")
                model.exact("fallback")
                target.dropped("parameters of a fallback call: no part in routing")
                found.append(model.text())
            else:
                found.append(target.text())
                (node if target.steps not in self.settings.ledger.leaves else target).exact("fallback")
        return found

    def _defaults_to_all(self, table: Table) -> Table:
        """Return the table with ``default_fallbacks`` where ``"*"`` stands."""
        node = self.settings.get("default_fallbacks")
        if node is None or not node.value:
            return table
        if "*" in table:
            node.dropped('"*" in fallbacks stands before it')
            return table
        return table | {"*": self._targets(node)}

    def _aliases(self) -> Table:
        """Return the other names of each group."""
        node = self.settings.router.get("model_group_alias") if self.settings.router else None
        found: Table = {}
        for alias, target in node.pairs() if node else ():
            model = target.get("model") or target
            model.exact("match.requested")
            target.dropped("whether the alias is listed: no part in routing")
            found.setdefault(model.text(), []).append(alias)
        return found

    def chain(self, group: str, table: Table) -> list[str]:
        """Return where a request of a group goes on: a fallback that fails has fallbacks of its own, none tried twice."""
        found = walk(group, table, hops=self.longest, longest=LONGEST)
        if len(found) >= LONGEST:
            raise self.settings.root.wrong(f"a configuration whose fallbacks of {group!r} are less than {LONGEST}")
        return found
