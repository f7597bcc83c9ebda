from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from incident_kit.errors import IncidentKitError, InvalidPolicy, NoSuchItem, UnreadableFile
from incident_kit.policies.policy import Policy, Window, diff

FOUNDING = """\
routes:
- intent: refund-policy
  primary: primary_chat_model
  fallback: fast_backup_model
  max_p95_ms: 3500                 # breaker.when: p95_ms > 3500
  disable_tools_on_fallback: true  # on_fallback: {tools: disabled}
- intent: internal-agent-draft
  primary: reasoning_model
  fallback: fast_backup_model
  max_p95_ms: 4500
"""


@pytest.fixture
def founding() -> Policy:
    return Policy.parse(FOUNDING)


def test_a_file_gives_its_name_and_keeps_its_bytes(tmp_path: Path) -> None:
    path, copy = tmp_path / "per-intent.yaml", tmp_path / "copy.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + FOUNDING.encode())
    policy = Policy.load(path)
    assert policy.name == "per-intent"
    policy.save(copy)
    assert copy.read_bytes() == FOUNDING.encode()
    assert Policy.load(copy) == policy
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["copy.yaml", "per-intent.yaml"]


def test_a_file_that_cannot_be_read_is_told_so(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\x80\x81\xff")
    huge = tmp_path / "huge.yaml"
    huge.write_bytes(b"#" * 1_600_001)
    cases = [
        (tmp_path, "cannot be read"),
        (tmp_path / "none", "cannot be read"),
        (binary, "not text"),
        (huge, "1,600,000 bytes"),
    ]
    for path, message in cases:
        with pytest.raises(UnreadableFile, match=message):
            Policy.load(path)


WHOLE = """\
routes:
- intent: refund-*          # all of them
  match: {channel: chat}    # not by phone
  primary: {big: 90, gpt-4.1: 10}   # the new one
  fallback:
  - {queue: 15m}            # wait first
  - {model: long, only_for: [4xx]}
  - human
  fallback_on: [timeout, 4xx]
  switch:
  - {from: 2026-10-05T14:03:00Z, to: human}   # the night shift
  breaker:
    window: [1h, 5m]
    when: {all: [p95_ms > 3500, {any: [error_rate > 0.2, signal:csat < 3.5, {alert: refunds}]}]}  # both
    cooldown: {base: 60s, factor: 2}   # patience
alerts:
- name: refunds    # for the lead
  for: 5m
  when: {all: [cost_per_request > 0.02, override_rate > 0.15]}
- {name: "*", when: error_rate > 0.0144, window: [1h, 10m]}   # burn
"""


@pytest.mark.parametrize(
    ("path", "value", "old", "new"),
    [
        ("refund-*.primary.gpt-4.1", 0.5, "gpt-4.1: 10", "gpt-4.1: 0.5"),
        ("refund-*.match.channel", "email", "channel: chat", "channel: email"),
        ("refund-*.match.labels.team.a", "x", "chat}   ", "chat, labels.team.a: x}"),
        ("refund-*.fallback[0].queue", "5m", "queue: 15m}", "queue: 5m} "),
        ("refund-*.fallback[1].only_for", ["timeout"], "[4xx]}", "[timeout]}"),
        ("refund-*.switch[0].to", "long", "to: human}", "to: long} "),
        ("refund-*.breaker.window", "5m", "window: [1h, 5m]", "window: 5m"),
        ("refund-*.breaker.when.signal:csat", 4, "signal:csat < 3.5", "signal:csat < 4"),
        ("refund-*.max_p95_ms", 3000, "p95_ms > 3500", "p95_ms > 3000"),
        ("refund-*.breaker.cooldown.factor", 1.5, "factor: 2}  ", "factor: 1.5}"),
        ("refund-*.breaker.cooldown.base", "90s", "base: 60s", "base: 90s"),
        ("refunds.for", "10m", "for: 5m", "for: 10m"),
        ("alert refunds.when.cost_per_request", 0.1 / 3, "request > 0.02", "request > 0.033333333"),
        ("alerts[0].name", "refunds2", None, None),
        ("alert *.when.error_rate", "1%", "rate > 0.0144", "rate > 0.01"),
    ],
)
def test_any_part_of_the_language_is_changed_in_its_place(
    path: str, value: Any, old: str | None, new: str | None, tmp_path: Path
) -> None:
    whole = Policy.parse(WHOLE)
    if old is None:
        with pytest.raises(InvalidPolicy, match=r"no alert 'refunds' \(did you mean 'refunds2'\?\)"):
            whole.with_value(path, value)
        return
    policy = whole.with_value(path, value)
    assert len(diff(whole, policy)) == 1
    policy.save(tmp_path / "saved.yaml")
    saved = (tmp_path / "saved.yaml").read_text()
    assert Policy.parse(saved) == policy
    found = [" ".join(line.split()) for line in saved.splitlines() if line not in WHOLE.splitlines()]
    assert found == [" ".join(line.replace(old, str(new)).split()) for line in WHOLE.splitlines() if old in line]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("refund-*.fallback", ["small"]),
        ("refund-*.fallback[1]", {"template": "busy"}),
        ("refund-*.fallback[0]", None),
        ("refund-*.switch", None),
        ("refund-*.switch", [{"from": "2026-10-05T16:03:00+02:00", "until": "2026-10-06T00:00:00Z", "to": "long"}]),
        ("refund-*.match", None),
        ("refund-*.primary", "big"),
        ("refund-*.deadline_ms", 9000),
        ("refund-*.sticky", "conversation"),
        ("refund-*.retry.ttft_timeout_ms", 900),
        ("refund-*.breaker.half_open.max_duration", "10m"),
        ("refund-*.breaker.cooldown", "60s"),
        ("refund-*.breaker.when", {"at_least": 2, "of": ["p95_ms > 1", "error_rate > 0.5", {"alert": "*"}]}),
        ("refunds.severity", "ticket"),
        ("refunds.intent", ["refund-*", "other"]),
        ("alerts[1].keep_firing_for", "10m"),
        ("alerts", [{"name": "refunds", "when": "p95_ms > 9"}]),
    ],
)
def test_any_part_of_the_language_finds_its_place(path: str, value: Any, tmp_path: Path) -> None:
    whole = Policy.parse(WHOLE)
    if path.endswith("switch") or value != ["small"]:
        policy = whole.with_value(path, value)
    else:
        policy = whole.with_value("refund-*.switch", None).with_value(path, value)
    assert diff(whole, policy)
    policy.save(tmp_path / "saved.yaml")
    text = (tmp_path / "saved.yaml").read_text()
    assert not diff(Policy.parse(text), policy)
    assert Policy.parse(text) == policy
    assert all(comment in text for comment in ("# all of them", "# the new one" if path != "refund-*.primary" else "#"))


def test_alerts_are_told_in_a_diff() -> None:
    whole = Policy.parse(WHOLE)
    changed = whole.with_value("refunds.for", "10m")
    assert str(diff(whole, changed)) == "alert refunds\n  for: 5m -> 10m"
    fewer = replace(whole, alerts=whole.alerts[1:])
    assert str(diff(whole, fewer)) == (
        "alert refunds\n  alert: when {all: [cost_per_request > 0.02, override_rate > 0.15]} -> (none)"
    )
    (change,) = diff(whole, replace(whole, alerts=whole.alerts[::-1]))
    assert str(change) == "order of alerts: refunds, * -> *, refunds"
    assert [one.path for one in diff(whole, changed)] == ["alert refunds.for"]
    assert changed.with_value("alert refunds.for", "5m") == whole


COMMENTED = """\
# Routing for support, agreed in the review.

name: per-intent   # shown in the brief
routes:

  # money first
  - intent: "refund-policy"
    primary:   primary_chat_model
    fallback: fast_backup_model
    max_p95_ms: 3500                 # tuned by hand
    disable_tools_on_fallback: true  # tools broke on the backup
    # the end of refunds

  - intent: drafts
    fallback: [fast_backup_model, 'spare']   # two
    primary: reasoning_model
    breaker:
        cooldown: {base: 60s}
        when:   # slow or failing
            any: [p95_ms > 4500, error_rate > 0.2]
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "edit",
    [
        ("refund-policy.max_p95_ms", 3000, "max_p95_ms: 3500 ", "max_p95_ms: 3000 "),
        ("refund-policy.disable_tools_on_fallback", False, "on_fallback: true  #", "on_fallback: false #"),
        ("drafts.breaker.cooldown", "2m", "cooldown: {base: 60s}", "cooldown: 2m"),
        (
            "drafts.fallback[1].model",
            "other",
            "[fast_backup_model, 'spare']   # two",
            "[fast_backup_model, other]     # two",
        ),
        ("refund-policy.primary", "on", "primary:   primary_chat_model", 'primary: "on"'),
    ],
)
def test_saving_changes_only_what_changed(newline: str, edit: tuple[str, Any, str, str], tmp_path: Path) -> None:
    path, value, old, new = edit
    text = COMMENTED.replace("\n", newline)
    policy = Policy.parse(text).with_value(path, value)
    policy.save(tmp_path / "saved.yaml")
    saved = (tmp_path / "saved.yaml").read_bytes().decode()
    new_lines = [line for line in saved.split(newline) if line not in text.split(newline)]
    assert new_lines == [line.replace(old, new) for line in text.split(newline) if old in line]
    assert Policy.parse(saved) == policy


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("refund-policy.breaker.cooldown", "2m"),
        ("refund-policy.breaker.half_open.requests", 9),
        ("refund-policy.breaker.half_open.when", "p95_ms < 3000"),
        ("refund-policy.breaker.when", ["p95_ms > 3500", "error_rate > 0.3"]),
        ("refund-policy.breaker.when", "p99_ms > 9000"),
        ("refund-policy.breaker", None),
        ("refund-policy.on_fallback.max_tokens", 64),
        ("refund-policy.retry.attempts", 2),
        ("refund-policy.fallback[0].max_p95_ms", 900),
        ("drafts.breaker.when.error_rate", 0.5),
        ("drafts.disable_tools_on_fallback", True),
        ("drafts.fallback", ["one", "two", "three"]),
        ("name", "renamed"),
        ("owner", "off"),
    ],
)
def test_a_key_that_the_file_did_not_hold_finds_its_place(path: str, value: Any, tmp_path: Path) -> None:
    policy = Policy.parse(COMMENTED).with_value(path, value)
    assert diff(Policy.parse(COMMENTED), policy)
    policy.save(tmp_path / "saved.yaml")
    saved = Policy.load(tmp_path / "saved.yaml")
    assert not diff(saved, policy)
    assert {implied.path for implied in saved.implied} == {implied.path for implied in policy.implied}
    text = (tmp_path / "saved.yaml").read_text()
    for comment in ("# Routing for support", "# money first", "# the end of refunds", "# two", "# shown in the brief"):
        assert comment in text


def test_a_value_from_the_defaults_is_overruled_in_its_route(tmp_path: Path) -> None:
    text = "defaults: {fallback: f, breaker: {cooldown: 90s}}  # for all\n" + FOUNDING
    policy = Policy.parse(text).with_value("refund-policy.breaker.cooldown", "2m")
    policy.save(tmp_path / "saved.yaml")
    assert Policy.load(tmp_path / "saved.yaml") == policy
    saved = (tmp_path / "saved.yaml").read_text().splitlines()
    assert [line for line in saved if line not in text.splitlines()] == ["  breaker: {cooldown: 2m}"]


def test_a_policy_of_other_routes_is_saved_in_the_long_form(founding: Policy, tmp_path: Path) -> None:
    shorter = replace(founding, routes=founding.routes[:1])
    shorter.save(tmp_path / "saved.yaml")
    assert Policy.load(tmp_path / "saved.yaml") == shorter


def test_a_changed_value_is_a_validated_copy(founding: Policy) -> None:
    changed = founding.with_value("refund-policy.max_p95_ms", 3000)
    assert changed.routes[0].breaker is not None
    assert changed.routes[0].breaker.when.of[0].limit_ms == 3000
    assert founding.routes[0].breaker is not None
    assert founding.routes[0].breaker.when.of[0].limit_ms == 3500
    assert changed.routes[1] == founding.routes[1]
    assert changed.implied == founding.implied


@pytest.mark.parametrize("path", ["refund-policy.breaker.window", "routes[0].breaker.window"])
def test_an_implied_value_that_is_set_is_implied_no_more(founding: Policy, path: str) -> None:
    changed = founding.with_value(path, "100 requests")
    assert changed.routes[0].breaker is not None
    assert changed.routes[0].breaker.window == Window("count", 100)
    gone = {implied.path for implied in founding.implied} - {implied.path for implied in changed.implied}
    assert gone == {"routes[0].breaker.window"}


def test_every_implied_value_can_be_set_to_itself(founding: Policy) -> None:
    lists = {"[]": [], "[timeout, 5xx, 429]": ["timeout", "5xx", 429], "[5xx, 429, timeout]": ["5xx", 429, "timeout"]}
    for path, value in ((implied.path, implied.value) for implied in founding.implied):
        changed = founding.with_value(path, lists.get(value, int(value) if value.isdigit() else value))
        assert changed == founding
        assert len(changed.implied) == len(founding.implied) - 1


def test_a_threshold_inside_a_rule_is_set_alone() -> None:
    policy = Policy.parse(COMMENTED)
    rule = policy.with_value("drafts.breaker.when.error_rate", 0.1 + 0.2).routes[1].breaker
    assert rule is not None
    assert str(rule.when) == "any of [p95_ms > 4500, error_rate > 0.3]"
    rule = policy.with_value("drafts.max_p95_ms", 2000.0).routes[1].breaker
    assert rule is not None
    assert str(rule.when) == "any of [p95_ms > 2000, error_rate > 0.2]"


def test_a_breaker_can_be_added_and_removed(founding: Policy) -> None:
    bare = founding.with_value("refund-policy.breaker", None)
    assert bare.routes[0].breaker is None
    assert not any("routes[0].breaker" in implied.path for implied in bare.implied)
    assert bare.with_value("refund-policy.max_p95_ms", 3500) == founding


@pytest.mark.parametrize(
    ("path", "value", "error", "message"),
    [
        ("refund.max_p95_ms", 3, NoSuchItem, "begin with a route (refund-policy, internal-agent-draft)"),
        ("refund-policy.max_p99_ms", 3, NoSuchItem, "no conditions on p99_ms in p95_ms > 3500"),
        ("refund-policy.fallback[3].model", "x", NoSuchItem, "leads nowhere"),
        ("refund-policy.", 3, NoSuchItem, "leads to no key"),
        ("refund-policy.a b", 3, NoSuchItem, "leads nowhere"),
        ("refund-polic.max_p95_ms", 3, NoSuchItem, "did you mean 'refund-policy'"),
        ("refund-policy.fallback[0]", {"queue": 5}, InvalidPolicy, "write 5s or 5ms"),
        ("refund-policy.primary", {"a": 1, "b": float("nan")}, InvalidPolicy, "needs a weight"),
        ("refund-policy.breaker.when.p95_ms", float("inf"), InvalidPolicy, "whole milliseconds"),
        ("alerts[0].for", "5m", NoSuchItem, "leads nowhere"),
        ("routes[9].primary", "x", NoSuchItem, "leads nowhere"),
        ("routes[0]", 3, NoSuchItem, "leads to no key"),
        ("routes", 3, InvalidPolicy, "must be a list"),
        ("", 3, NoSuchItem, "begin with a route"),
        ("refund-policy.primary.x.y", 3, NoSuchItem, "leads"),
        ("refund-policy.max_p95_ms", -1, InvalidPolicy, "whole milliseconds"),
        ("refund-policy.max_p95_ms", True, InvalidPolicy, "is a number"),
        ("refund-policy.max_p95_ms", None, InvalidPolicy, "is a number"),
        ("refund-policy.breaker.cooldown", 60, InvalidPolicy, "write 60s"),
        ("refund-policy.breaker.coldown", "60s", InvalidPolicy, "did you mean 'cooldown'"),
        ("refund-policy.primary", "fast_backup_model", InvalidPolicy, "stands twice in the chain"),
        ("refund-policy.retry.timeout_ms", 3000, InvalidPolicy, "not below retry.timeout_ms"),
        ("refund-policy.primary", None, InvalidPolicy, "has no `primary`"),
    ],
)
def test_a_value_that_cannot_stand_there_is_refused(
    founding: Policy, path: str, value: Any, error: type[IncidentKitError], message: str
) -> None:
    with pytest.raises(error) as caught:
        founding.with_value(path, value)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a.fallback[0].breaker.cooldown", "2m"),
        ("a.fallback[0].max_p95_ms", 800),
        ("a.fallback[1].queue", "5m"),
        ("a.fallback", ["one"]),
        ("a.switch[0].to", "f"),
        ("a.switch", None),
        ("a.match.channel", "email"),
        ("a.match", None),
        ("a.primary.q", 5),
        ("a.retry.attempts", 2),
        ("a.breaker.cooldown.factor", 3),
        ("a.breaker.half_open.requests", 9),
        ("a.breaker", None),
        ("a.on_fallback.max_tokens", 9),
        ("a.deadline_ms", None),
    ],
)
def test_whatever_comes_from_the_defaults_can_be_changed_in_a_route(path: str, value: Any, tmp_path: Path) -> None:
    text = """\
defaults:   # for all
  primary: {p: 1, q: 2}
  fallback: [{model: f, max_p95_ms: 900}, {queue: 15m}]
  match: {channel: chat}
  switch: [{from: 2026-10-05T14:03:00Z, to: p}]
  retry: {attempts: 1, retry_on: [429]}
  on_fallback: {tools: disabled}
  deadline_ms: 20000
  breaker: {when: p95_ms > 9, cooldown: {base: 60s, factor: 2}, half_open: {requests: 3}}
routes:
- intent: a
- intent: b
"""
    policy = Policy.parse(text).with_value(path, value)
    policy.save(tmp_path / "saved.yaml")
    assert diff(Policy.parse(text), policy)
    assert Policy.load(tmp_path / "saved.yaml") == policy
