import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from foreign import ALL, ENVOY, LITELLM, PORTKEY
from ruamel.yaml import YAML

import incident_kit as ik
from incident_kit.errors import InvalidConfiguration, UnreadableFile
from incident_kit.gateways.conversion import Conversion
from incident_kit.gateways.loss import FIDELITIES, HIDDEN, UNKNOWN
from incident_kit.policies.policy import Policy


def converted(text: str, **options: Any) -> Conversion:
    made = ik.convert(text, **options)
    assert Policy.parse(made.policy.expand()) == made.policy
    return made


def walked(value: Any, path: str = "") -> Iterator[str]:
    """Yield the path of every leaf as another reader of the file finds it."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from walked(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and any(isinstance(inner, dict | list) for inner in value):
        for i, inner in enumerate(value):
            yield from walked(inner, f"{path}[{i}]")
    else:
        yield path


def read(name: str) -> Any:
    return json.loads(ALL[name]) if name == "portkey" else YAML(typ="safe").load(ALL[name])


@pytest.mark.parametrize("name", ALL)
def test_every_leaf_of_the_input_has_its_row(name: str) -> None:
    made = converted(ALL[name])
    assert made.source == name
    assert [row.key for row in made.losses if not row.default] == list(walked(read(name)))
    for row in made.losses:
        assert row.fidelity in FIDELITIES
        assert row.how or row.fidelity == "exact", row
        assert row.becomes or row.fidelity == "dropped", row


@pytest.mark.parametrize("name", ALL)
def test_only_keys_of_tomorrow_are_unknown(name: str) -> None:
    unknown = [row.key for row in converted(ALL[name]).losses if row.how == UNKNOWN]
    assert len(unknown) == 1
    assert "tomorrow" in unknown[0]


@pytest.mark.parametrize("name", ALL)
def test_what_a_row_names_stands_in_the_policy(name: str) -> None:
    """`becomes` is a key of the policy; nothing there is implied, so that a product default is written out."""
    made = converted(ALL[name])
    long = made.policy.expand()
    assert made.policy.implied == ()
    for row in made.losses:
        for key in row.becomes.split(", "):
            word = key.rsplit(".", 1)[-1]
            assert not key or f"{word}:" in long or word in long, row


@pytest.mark.parametrize("name", ALL)
def test_a_conversion_says_where_it_comes_from(name: str) -> None:
    made = converted(ALL[name])
    assert made.policy.note is not None
    assert "converted from" in made.policy.note
    assert all(route.note for route in made.policy.routes)


def test_the_report_is_a_frame_and_reads() -> None:
    losses = converted(ENVOY).losses
    frame = losses.frame
    assert frame.columns == ["key", "line", "value", "fidelity", "becomes", "how", "default"]
    assert frame.height == len(losses)
    assert {row["line"] > 0 for row in frame.filter(~frame["default"]).iter_rows(named=True)} == {True}
    said = str(losses)
    assert said.startswith("Envoy outlier detection, the configuration: ")
    assert f"{losses.counts['exact']} exact, {losses.counts['approximated']} approximated" in said
    assert "static_resources.clusters[0].connect_timeout = 1s: no part of outlier detection" in said
    assert [row.key for row in losses.of("static_resources.clusters[1].name")] == ["static_resources.clusters[1].name"]
    assert len(losses.of("static_resources.clusters[1]")) > 5
    assert losses[0] in losses


def test_secrets_stay_out_of_the_report() -> None:
    for text in (LITELLM, PORTKEY):
        made = converted(text)
        said = str(made.losses) + made.policy.expand()
        assert HIDDEN in said
        for secret in ("sk-123", "sk-secret", "user:pass", "REDIS_PASSWORD", "k1"):
            assert secret not in said
    assert "2.5e-06" in str(converted(LITELLM).losses), "a price is no secret"


def test_a_secret_is_known_by_its_looks_too() -> None:
    text = "model_list: [{model_name: a, litellm_params: {api_base: 'https://me:pass@host/'}}]\n"
    assert converted(text).losses.of("model_list[0].litellm_params.api_base")[0].value == HIDDEN


def test_anchors_and_merge_keys_are_resolved() -> None:
    text = """\
shared: &shared {timeout: 7, rpm: 5}
model_list:
- {model_name: a, litellm_params: {<<: *shared, timeout: 9}}
- {model_name: b, litellm_params: *shared}
"""
    made = converted(text)
    assert [route.retry.timeout_ms for route in made.policy.routes] == [9000, 7000]
    assert made.losses.of("model_list[0].litellm_params.rpm")[0].value == "5"


def test_a_file_gives_the_policy_its_name(tmp_path: Path) -> None:
    file = tmp_path / "gateway.yaml"
    file.write_text(LITELLM)
    made = ik.convert(file)
    assert made.policy.name == "gateway"
    assert str(tmp_path) not in made.policy.expand() + str(made.losses)
    assert ik.convert(str(file)).policy == made.policy
    assert ik.convert(file, name="mine").policy.name == "mine"
    made.save(tmp_path / "policy.yaml")
    assert Policy.load(tmp_path / "policy.yaml") == made.policy


def test_the_same_text_gives_the_same_policy() -> None:
    for text in ALL.values():
        first, second = ik.convert(text), ik.convert(text)
        assert (first.policy.text, first.losses) == (second.policy.text, second.losses)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (LITELLM, {"source": "envoy"}, "is not of Envoy outlier detection: it looks like LiteLLM"),
        (LITELLM, {"source": "litelm"}, "did you mean 'litellm'?"),
        (LITELLM, {"fallback": "x"}, "says itself where requests go on"),
        ("routes: [{intent: a, primary: b}]\n", {}, "is a policy already"),
        ("a: 1\nb: 2\n", {}, "is of no product that is read (its keys: 'a', 'b')"),
        ("model_list: []\ntargets: []\nstrategy: {}\noutlier_detection: {}\n", {}, "may be of LiteLLM or Envoy"),
        ("- a\n- b\n", {}, "it must be a mapping of keys, and it is a list"),
        ("\n\n", {}, "is empty"),
        ("word\n", {}, "it is one word"),
        ("a: [\n", {}, "not YAML or JSON"),
        ("model_list:\n- model_name: a\nmodel_list: []\n", {}, "line 3: the key 'model_list' stands twice"),
        ('{"targets": [], "targets": []}', {}, "the key 'targets' stands twice"),
        ("model_list: !!python/object:os.system x\n", {}, "tags are not read"),
        ("a: 1\n---\nb: 2\n", {}, "convert one at a time"),
        ("model_list: 5\n", {}, "line 1: model_list must be a list, not 5"),
        ("model_list: []\n", {}, "must be a list of deployments, of at most"),
        ("router_settings: {num_retries: 1}\n", {}, "with `model_list`"),
        ("model_list: [{litellm_params: {}}]\n", {}, "model_list[0] must be a deployment with `model_name`"),
        (
            "model_list: [{model_name: a}]\nrouter_settings: {num_retries: many}\n",
            {},
            "must be a number from 0, not 'many'",
        ),
        ("model_list: [{model_name: a}]\nrouter_settings: {num_retries: -1}\n", {}, "must be a number from 0"),
        ("model_list: [{model_name: a}]\nrouter_settings: {num_retries: .inf}\n", {}, "must be a number from 0"),
        ("model_list: [{model_name: a}]\nrouter_settings: {num_retries: 1.5}\n", {}, "must be a whole number"),
        ("model_list: [{model_name: a}]\nrouter_settings: {disable_cooldowns: maybe}\n", {}, "must be true or false"),
        ("model_list: [{model_name: ' '}]\n", {}, "holds what no policy can"),
        ("strategy: {mode: x}\ntargets: [{provider: a}]\n", {}, "strategy.mode must be fallback, loadbalance"),
        ("strategy: {mode: fallback}\ntargets: []\n", {}, "targets must be a list with at least one target"),
        (
            "strategy: {mode: conditional, default: b}\ntargets: [{name: a}]\n",
            {},
            "with `default`, the name of a target",
        ),
        ("outlier_detection: {interval: soon}\n", {}, "interval must be a number from 0, not 'soon'"),
        ("slidingWindowType: ROUND\n", {}, "must be COUNT_BASED or TIME_BASED, not 'ROUND'"),
        ("failureRateThreshold: 0\n", {}, "must be a percentage above 0"),
        ("circuitbreaker: {configs: {}, instances: {a: {baseConfig: b}}}\n", {}, "must be one of the configs"),
        ("resilience4j.a.b: 1\nresilience4j: {a: {b: 2}}\n", {}, "stands twice, once with dots"),
        ("resilience4j: 5\n", {}, "resilience4j settings with `circuitbreaker.instances`"),
    ],
)
def test_what_cannot_be_read_is_said(text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        ik.convert(text, **options)
    assert message in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    for path, message in (
        (tmp_path / "none.yaml", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (tmp_path / "bytes.yaml", "is not text"),
        ("bad\0name", "is no file name"),
    ):
        with pytest.raises(UnreadableFile, match=message):
            ik.convert(path)
