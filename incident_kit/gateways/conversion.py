"""convert: another product's configuration as a policy, with a row for every key of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from incident_kit.errors import InvalidConfiguration, InvalidPolicy, did_you_mean
from incident_kit.gateways import envoy, litellm, portkey, resilience4j, resilience4j_settings
from incident_kit.gateways.foreign import Node, leaves_of, read_source
from incident_kit.gateways.loss import Ledger, Losses
from incident_kit.gateways.reading import read_text
from incident_kit.policies.policy import Policy
from incident_kit.policies.policywriter import yaml_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from incident_kit.policies.policytree import Item

Source = Literal["litellm", "portkey", "envoy", "resilience4j"]
TITLES: dict[str, str] = {
    "litellm": "LiteLLM",
    "portkey": "Portkey",
    "envoy": "Envoy outlier detection",
    "resilience4j": "resilience4j",
}
ENDS = frozenset({"human", "reject"})


@dataclass(frozen=True, slots=True)
class Conversion:
    """What `convert` made: the policy, and what became of every key of the input."""

    policy: Policy
    losses: Losses
    source: Source

    def __str__(self) -> str:
        return str(self.losses)

    def save(self, path: str | Path) -> None:
        """Write the policy as YAML."""
        self.policy.save(path)


def convert(
    path_or_text: str | Path, *, source: str | None = None, fallback: str | Sequence[str] = (), name: str | None = None
) -> Conversion:
    """Return the policy that another product's configuration amounts to, and a report of every key.

    LiteLLM ``config.yaml``, Portkey configs, Envoy clusters with outlier detection and resilience4j's circuit breakers are
    read, as a file or as text. The breaker is translated into ours; `gateways.emulation` runs LiteLLM's own rule.

    Parameters
    ----------
    path_or_text
        A file's path, or the text itself.
    source
        The product, where detection is not wanted: litellm, portkey, envoy, resilience4j.
    fallback
        Where requests go when the primary rests, for Envoy and resilience4j, whose files do not say it; ``reject`` and
        ``human`` are words of the policy language.
    name
        The policy's name; default: the file's.

    Raises
    ------
    UnreadableFile
        The file is missing, a directory, or not text.
    InvalidConfiguration
        Not YAML or JSON, not a configuration of a product that is read, or values that cannot be.

    Examples
    --------
    >>> made = convert("resilience4j: {circuitbreaker: {instances: {llm: {slidingWindowSize: 50}}}}", fallback="small")
    >>> str(made.policy.routes[0].breaker.window), made.losses.of("resilience4j")[0].fidelity
    ('50 requests', 'exact')
    """
    text, where = read_source(path_or_text)
    tree = read_text(text, source=where)
    product = _product(tree, source, where)
    if product == "resilience4j":
        tree = resilience4j_settings.expanded(tree, source=where)
    title = f"{TITLES[product]}, {where}"
    ledger = Ledger(dict(leaves_of(tree)), title=title)
    root = Node(tree, (), ledger, where)
    backups = [fallback] if isinstance(fallback, str) else list(fallback)
    if backups and product in {"litellm", "portkey"}:
        raise InvalidConfiguration(f"fallback= is for Envoy and resilience4j: {where} says itself where requests go on")
    made = {"litellm": litellm.tree, "portkey": portkey.tree}.get(product)
    plain = made(root) if made else {"envoy": envoy.tree, "resilience4j": resilience4j.tree}[product](root, backups)
    note = f"converted from {title}; what was approximated and dropped stands in the report of incident-kit convert"
    named = name or (Path(where).stem if isinstance(path_or_text, Path) or where != "the configuration" else product)
    whole = {"version": 1, "name": named, "note": note, **_shared([_outspoken(route) for route in plain["routes"]])}
    try:
        policy = Policy.parse(yaml_text(whole), name=named, source=f"the policy made from {where}")
    except InvalidPolicy as error:
        raise InvalidConfiguration(f"{where} holds what no policy can: {error}") from None
    return Conversion(policy, ledger.losses(), product)


def _outspoken(route: dict[str, Any]) -> dict[str, Any]:
    """Return a route that leaves nothing implied: what none of the products does is written out as not done."""
    first = {key: route[key] for key in ("intent", "match", "note", "primary") if key in route}
    whole: dict[str, Any] = (
        first | {"fallback": [], "sticky": "none", "on_fallback": {"tools": "enabled"}, "retry": {}} | route
    )
    whole["retry"] = {"attempts": 0, "retry_on": [], "backoff_ms": 0} | whole["retry"]
    for owner in (whole, *(entry for entry in whole["fallback"] if isinstance(entry, dict))):
        if rule := owner.get("breaker"):
            owner["breaker"] = rule | {"half_open": {"share": 1, "max_wait": "60s"} | rule["half_open"]}
    return whole


def _shared(routes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the routes, with what all of them say said once, in `defaults`."""
    if len(routes) < 2:
        return {"routes": routes}
    defaults: dict[str, Any] = {
        key: routes[0][key]
        for key in ("fallback_on", "sticky", "on_fallback")
        if all(route[key] == routes[0][key] for route in routes)
    }
    kept = [{key: value for key, value in route.items() if key not in defaults} for route in routes]
    for section in ("retry", "breaker"):
        owners = [route[section] for route in kept if section in route]
        first = owners[0] if len(owners) > 1 else {}
        same = {key: first[key] for key in first if key != "when" and all(one.get(key) == first[key] for one in owners)}
        defaults |= {section: same} if same else {}
        for route in kept:
            if left := {key: value for key, value in route.pop(section, {}).items() if key not in same}:
                route[section] = left
    return {"defaults": defaults, "routes": kept} if defaults else {"routes": kept}


def _product(tree: Item, source: str | None, where: str) -> Source:
    """Return the product whose configuration this is."""
    tests: dict[Source, Callable[[Item], bool]] = {
        "litellm": litellm.is_like,
        "portkey": portkey.is_like,
        "envoy": envoy.is_like,
        "resilience4j": resilience4j_settings.is_like,
    }
    looks = [product for product, test in tests.items() if test(tree)]
    if source is not None:
        if source not in TITLES:
            known = ", ".join(TITLES)
            raise InvalidConfiguration(f"source={source!r} is not read{did_you_mean(source, TITLES)}: {known}")
        if looks and source not in looks:
            raise InvalidConfiguration(f"{where} is not of {TITLES[source]}: it looks like {TITLES[looks[0]]}")
        return source  # type: ignore[return-value]
    if "routes" in tree.value:
        raise InvalidConfiguration(f"{where} is a policy already: Policy.load reads it")
    if len(looks) == 1:
        return looks[0]
    keys = ", ".join(map(repr, list(tree.value)[:6]))
    several = f"may be of {' or '.join(TITLES[one] for one in looks)}" if looks else "is of no product that is read"
    raise InvalidConfiguration(
        f"{where} {several} (its keys: {keys}). Read are LiteLLM (model_list), Portkey (strategy, targets), Envoy "
        f"(outlier_detection) and resilience4j (circuitbreaker); source= says which it is"
    )
