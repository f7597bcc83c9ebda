from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from policies import TARGETS, policies, policy_trees, routes

from incident_kit.policies.policy import Policy, describe, describe_table, diff
from incident_kit.policies.policytree import item_of
from incident_kit.policies.policywriter import leaves, long_form

odd_names = [
    "no",
    "on",
    "429",
    "1:30",
    "2026-10-05",
    "x: y",
    "#z",
    "é",
    "null",
    "~",
    "true",
    "0x1",
    "a.b[0]",
    "{a}",
    "- a",
    "a,b",
]
texts = st.sampled_from(odd_names) | st.text(
    st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=5
).filter(lambda word: word not in ("human", "reject"))
notes: dict[str, st.SearchStrategy[Any]] = {
    "owner": texts,
    "reason": st.text(max_size=8),
    "decided": st.dates(),
    "rehearsed": st.dates(),
}


@st.composite
def odd_policies(draw: st.DrawFn) -> Policy:
    """Policies over the whole language whose names are such as YAML readers take for something else."""
    targets = draw(st.lists(texts, min_size=3, max_size=3, unique=True))
    intents = draw(st.lists(texts.filter(lambda name: not set(name) & set("*?")), min_size=2, max_size=2, unique=True))
    alerts = draw(st.lists(texts, max_size=2, unique=True))
    tree = draw(policy_trees(targets=targets, intents=intents, alerts=alerts))
    for route in tree["routes"]:
        route.update(draw(st.fixed_dictionaries({}, optional=notes)))
        if draw(st.integers(0, 4)) == 0:
            route["match"] = {f"labels.{draw(texts)}": draw(texts), "prompt_tokens": [5, 7]}
    return Policy.of_tree(item_of(draw(st.fixed_dictionaries({}, optional={"name": texts, **notes})) | tree))


some = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@some
@given(odd_policies())
def test_any_policy_equals_its_long_form(policy: Policy) -> None:
    long = Policy.parse(policy.expand())
    assert long == policy
    assert long.name == policy.name
    assert long.implied == ()
    assert not diff(policy, long)
    assert len(describe(policy).splitlines()) == len(policy.routes) + len(policy.alerts)
    assert describe_table(policy).height == len(policy.routes)


@some
@given(odd_policies(), policies())
def test_a_policy_saved_over_another_file_is_read_back(tmp_path: Path, policy: Policy, other: Policy) -> None:
    edited = replace(other, text=policy.expand())
    edited.save(tmp_path / "saved.yaml")
    assert Policy.load(tmp_path / "saved.yaml") == other


@pytest.mark.slow
@some
@given(odd_policies(), st.data())
def test_one_route_changed_in_a_file_is_read_back(tmp_path: Path, policy: Policy, data: st.DataObject) -> None:
    """The routes keep their intents, so that the file is edited and not written anew."""
    targets = data.draw(st.permutations(TARGETS))
    trees = [data.draw(routes(intent=list(route.intent), targets=targets)) for route in policy.routes]
    other = Policy.of_tree(item_of({"routes": trees}))
    edited = replace(other, text=policy.expand(), name=policy.name)
    edited.save(tmp_path / "saved.yaml")
    assert Policy.load(tmp_path / "saved.yaml") == other


@some
@given(policies(), st.data())
def test_any_leaf_can_be_set_to_itself(policy: Policy, data: st.DataObject) -> None:
    path, value = data.draw(st.sampled_from(list(leaves(long_form(policy)))))
    changed = policy.with_value(path, value)
    assert changed == policy
    assert path not in {implied.path for implied in changed.implied}
