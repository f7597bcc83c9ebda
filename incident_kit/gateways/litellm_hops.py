"""How LiteLLM walks through lists of fallbacks: into those of a fallback that failed, none twice, so many hops deep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from incident_kit.gateways.litellm_facts import MAX_FALLBACKS

MOST = 60  # more lists than these are written as they are


def walk(
    start: str, tables: Mapping[str, Sequence[str]], *, hops: int = MAX_FALLBACKS, longest: int = 1000
) -> list[str]:
    """Return where LiteLLM goes on from a group.

    A fallback that fails goes on with its own list, without one with that of the group that was asked for, else with
    that of ``"*"``. The depth is checked where a list is entered, not for every target in it (``run_async_fallback`` and
    ``fallback_lookup_groups``, 1.106.2, compared with its router on random lists).

    Examples
    --------
    >>> walk("a", {"a": ["b", "c"], "b": ["d"]})
    ['b', 'd', 'c']
    """
    tried = [start]
    rest = tables.get(start) or tables.get("*") or ()

    def step(name: str, depth: int) -> None:
        if depth >= hops:
            return
        for target in tables.get(name) or rest:
            if target not in tried and len(tried) <= longest:
                tried.append(target)
                depth += 1
                step(target, depth)

    step(start, 0)
    return tried[1:]


def shortest(chains: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return lists of fallbacks that lead LiteLLM through these chains, short where the lists of others do the rest."""
    tables = dict(chains)
    firsts = {name: chain[:1] for name, chain in chains.items()}
    if len(chains) > MOST:
        return tables
    if all(walk(name, firsts) == chain for name, chain in chains.items()):
        return firsts
    if any(walk(name, tables) != chain for name, chain in chains.items()):
        return tables
    for name, chain in chains.items():
        for length in range(1, len(chain)):
            shorter = tables | {name: chain[:length]}
            if all(walk(one, shorter) == whole for one, whole in chains.items()):
                tables = shorter
                break
    return tables
