import pytest

from incident_kit.errors import InvalidPolicy
from incident_kit.policy import Policy

ROUTE = "routes:\n- intent: a\n  primary: p\n  fallback: f\n"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (ROUTE + "  max_p59_ms: 1\n", 5, "'max_p59_ms' is not a key of a route (did you mean 'max_p95_ms'?)"),
        (ROUTE + "  breaker: {when: p95_ms > 9, windw: 5m}\n", 5, "did you mean 'window'?"),
        ("verison: 1\n" + ROUTE, 1, "did you mean 'version'?"),
        (ROUTE + "  cooldown: 5m\n", 5, "'cooldown' is not a key of a route: it belongs under `breaker:`"),
        (ROUTE + "  zebra: 1\n", 5, "its keys are"),
        (ROUTE + "  primary: q\n", 5, "the key 'primary' stands twice (first on line 3)"),
        (ROUTE + "  on: 1\n", 5, "the key 'on' is read as true or false"),
        (ROUTE + "  true: 1\n", 5, "the key 'true' is read as true or false"),
        (ROUTE + "  5: 1\n", 5, "a key is a plain word"),
        (ROUTE + "  [a]: 1\n", 5, "a key is a plain word"),
        (ROUTE + "  disable_tools_on_fallback: yes\n", 5, "write true or false, or quote it"),
        (ROUTE + "  disable_tools_on_fallback: 1\n", 5, "must be true or false"),
        ("routes:\n- intent: NO\n  primary: p\n", 2, "or quote it"),
        ("routes:\n- intent: a\nprimary: p\nfallback: f\n", 3, "Put 2 spaces before it"),
        ("routes:\n- intent: a\nprimary: p\n- intent: b\nprimary: q\n", 3, "the indentation was lost"),
        ("routes:\n  - intent: a\n  primary: p\n", 3, "Put 4 spaces before it"),
        ("routes:\nintent: a\nprimary: p\n", 2, "without its dash"),
        (ROUTE + "  owner:\n", 5, "'owner' has no value"),
        (ROUTE + "  fallback_on: [timeout, ]\n  retry: {retry_on: [~]}\n", 6, "an entry without a value"),
        (ROUTE + "  owner: &me x\n", 5, "anchors and aliases are not used"),
        (ROUTE + "  owner: !!python/object:os.system x\n", 5, "tags are not used"),
        (ROUTE + "  <<: {owner: x}\n", 5, "the merge key <<"),
        (ROUTE + "  max_p95_ms: 0x10\n", 5, "write plain digits"),
        (ROUTE + "  max_p95_ms: 99999999999999999999\n", 5, "write plain digits"),
        (ROUTE + "  max_p95_ms: 1e3\n", 5, "write plain digits"),
        (ROUTE + "  max_p95_ms: .inf\n", 5, "write plain digits"),
        (ROUTE + "  max_p95_ms: 0\n", 5, "must be between 1 and"),
        (ROUTE + "  max_p95_ms: 3500.5\n", 5, "must be a whole number, not 3500.5"),
        (ROUTE + "  max_p95_ms: true\n", 5, "must be a whole number, not true"),
        (ROUTE + "  owner: 5\n", 5, "must be text, not 5 (put quotes around it)"),
        (ROUTE + "  decided: soon\n", 5, "must be a date such as 2026-10-05, not 'soon'"),
        (ROUTE + "  retry: 3\n", 5, "must be a mapping with attempts"),
        (ROUTE + "  retry: {attempts: '3'}\n", 5, "retry.attempts must be a whole number, not '3'"),
        (ROUTE + "  retry: {timeout_ms: 0}\n", 5, "must be between 1 and"),
        (ROUTE + "  fallback_on: timeout\n", 5, "must be a list"),
        (ROUTE + "  fallback_on: [time_out]\n", 5, "'time_out' is not a failure class (did you mean 'timeout'?)"),
        (ROUTE + "  fallback_on: [399]\n", 5, "'399' is not a failure class"),
        (ROUTE + "  on_fallback: {tools: none}\n", 5, "must be enabled or disabled, not 'none'"),
        (
            ROUTE + "  on_fallback: {tools: disabled}\n  disable_tools_on_fallback: true\n",
            6,
            "on_fallback is there too",
        ),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    cooldown: 60\n", 7, "write 60s or 60ms, not 60"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    window: 300\n", 7, "'300s' or '300 requests', not 300"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    window: 0s\n", 7, "must be longer than nothing"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    window: 0 requests\n", 7, "must be between 1"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    cooldown: {bse: 60s}\n", 7, "did you mean 'base'?"),
        (ROUTE + "  breaker:\n    when: p95_ms > 9\n    cooldown: {}\n", 7, "needs `base`"),
        (
            ROUTE + "  breaker: {when: p95_ms > 9, half_open: {share: 2}}\n",
            5,
            "must be a share above 0 and up to 1, not 2",
        ),
        (ROUTE + "  breaker: {window: 5m}\n", 5, "has no `when`, such as `when: p95_ms > 3500`"),
        (
            ROUTE + "  breaker:\n    when:\n      any:\n      - p95_ms > 9\n      - p95 > 9\n",
            9,
            "did you mean 'p95_ms'?",
        ),
        (ROUTE + "  max_p95_ms: 9\n  breaker: {when: error_rate > 0.1}\n", 5, "keep one"),
        (ROUTE + "  breaker: {when: error_rate > 0.1, errors: []}\n", 5, "errors is empty"),
        (ROUTE + "  retry: {timeout_ms: 8000}\n  max_p95_ms: 8000\n", 6, "not below retry.timeout_ms (8000)"),
        (ROUTE.replace("f\n", "[f, p]\n"), 4, "'p' stands twice in the chain"),
        (ROUTE.replace("f\n", "[{mdel: f}]\n"), 4, "did you mean 'model'?"),
        ("routes:\n- intent: a\n", 2, "has no `primary`"),
        ("routes:\n- primary: a\n", 2, "has no `intent`"),
        ("routes:\n- intent: []\n  primary: a\n", 2, "must be a name"),
        ("routes:\n- intent: ' a'\n  primary: a\n", 2, "no blanks around it"),
        ('routes:\n- intent: "a\\e[1m"\n  primary: a\n', 2, "printable"),
        ("routes:\n- intent: 5\n  primary: a\n", 2, "put quotes around it"),
        ("routes:\n- intent: *\n  primary: a\n", 2, 'put quotes around it: "*"'),
        ("routes:\n- a\n", 2, "must be a mapping that begins with"),
        ("routes: a\n", 1, "must be a list"),
        ("routes: []\n", 1, "at least one route"),
        ("defaults: 3\n" + ROUTE, 1, "must be a mapping of route keys"),
        ("defaults: {intent: a}\n" + ROUTE, 1, "belongs to each route"),
        ("version: 2\n" + ROUTE, 1, "must be 1"),
        ("%YAML 1.1\n---\n" + ROUTE, 1, "directive"),
        (ROUTE + "---\n" + ROUTE, 5, "a single document"),
        ("routes:\n\t- intent: a\n", 2, "indent with spaces"),
        ("a: " + "[" * 40 + "]" * 40, 1, "nested too deeply"),
    ],
)
def test_every_error_names_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(InvalidPolicy) as error:
        Policy.parse(text, source="my.yaml")
    assert str(error.value).startswith(f"my.yaml, line {line}: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("# only a comment\n", "is empty"),
        ("- a\n", "holds no `routes:`"),
        ("hello", "holds no `routes:`"),
        ("version: 1\n", "has no `routes:`"),
        ("[" * 9_000, "nested too deeply"),
        ("- " * 9_000, "nested too deeply"),
        ("a\0b", "is not YAML"),
        ("x" * 1_000_001, "the limit is 1,000,000"),
    ],
)
def test_what_is_no_policy_at_all_is_told_so(text: str, message: str) -> None:
    with pytest.raises(InvalidPolicy, match=message):
        Policy.parse(text)


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    with pytest.raises(InvalidPolicy) as error:
        Policy.parse(ROUTE + "  max_p59_ms: 1\n- intent: b\n  fallbak: x\n", source="my.yaml")
    first, *rest = str(error.value).splitlines()
    assert first == "my.yaml has 3 problems:"
    assert [line.strip()[:7] for line in rest] == ["line 5:", "line 6:", "line 7:"]


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ("  ranking: latency\n", "ranking"),
        ("  rate_limit: 5\n", "rate and budget limits"),
        ("  max_budget: 5\n", "rate and budget limits"),
        ("  headers: {x: z}\n", "header triggers"),
        ("  outlier_detection: {}\n", "peer-outlier rules"),
        ("  breaker: {when: p95_ms > 2x baseline(7d)}\n", "relative thresholds"),
    ],
)
def test_what_version_1_leaves_out_is_refused_by_name(more: str, name: str) -> None:
    with pytest.raises(InvalidPolicy, match=f"{name} .*: not in version 1 of the policy language"):
        Policy.parse(ROUTE + more)
