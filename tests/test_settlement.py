"""What counts as served as logged, where tools or the classes of errors decide."""

from __future__ import annotations

import pytest
from written import Call, Request, fill

from incident_kit.log import read
from incident_kit.policies.policy import Policy
from incident_kit.scoring.replays import replay_log
from incident_kit.store import Store

WITHOUT_TOOLS = "routes: [{intent: '*', primary: big, fallback: small, disable_tools_on_fallback: true}]"
ON_TIMEOUTS = """
routes:
- intent: '*'
  primary: big
  fallback: small
  breaker: {when: error_rate > 0.2, min_requests: 2, errors: [timeout]}
"""


@pytest.mark.parametrize(("answer_tools", "evidence"), [(0, "observed"), (3, "same_cell"), (None, "same_cell")])
def test_a_log_that_took_tools_away_is_as_logged(store: Store, answer_tools: int | None, evidence: str) -> None:
    fill(store, [Request("a", 0, [Call("big", 100, "500"), Call("small", 300)], tools_offered=3)])
    store.run("update attempts set tools_offered = 3 where target = 'big'")
    store.run("update attempts set tools_offered = $n where target = 'small'", {"n": answer_tools})
    one = replay_log(read(store), Policy.parse(WITHOUT_TOOLS)).decisions.row(0, named=True)
    assert (one["tools"], one["evidence"]) == ("disabled", evidence)


def test_a_timeout_without_a_class_is_a_timeout(store: Store) -> None:
    fill(store, [Request(str(i), 1000 * i, [Call("big", 100, "timeout")]) for i in range(3)])
    store.run("update attempts set status = 'timeout', error_class = null")
    store.run("update requests set status = 'timeout', error_class = null")
    replay = replay_log(read(store), Policy.parse(ON_TIMEOUTS))
    assert replay.transitions["to"][0] == "on backup"
