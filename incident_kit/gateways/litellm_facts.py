"""What LiteLLM does where its configuration says nothing, and which of its keys have no part in routing.

Read in the package, versions 1.106.2 and 1.109.1.
"""

from __future__ import annotations

from incident_kit.durations import show_duration

NUM_RETRIES, COOLDOWN_S, ALLOWED_FAILS, MAX_FALLBACKS, TIMEOUT_S, BACKOFF_MS = 2, 5, 3, 5, 6000, 500
WINDOW_S, FAILED_SHARE, LEAST, ALONE = 60, "0.5", 5, 1000  # the default cooldown rule
FALLBACK_ON = ["timeout", "5xx", "4xx", 429, "context_window", "content_policy"]
COOLED = ["5xx", 429, "timeout", 401, 402, 404]  # of all 4xx these alone cool a deployment down
CLASSES: dict[str, list[str | int]] = {
    "TimeoutError": ["timeout"],
    "RateLimitError": [429],
    "InternalServerError": ["5xx"],
    "ServiceUnavailableError": [503],
    "BadGatewayError": [502],
    "AuthenticationError": [401],
    "NotFoundError": [404],
    "BadRequestError": [400],
    "ContentPolicyViolationError": ["content_policy"],
}
IN_GROUP = "chooses among the deployments of a group, and here the group is one target"
RANKING = "ranking of targets is not in version 1 of the policy language"
PARAMS = {
    "model": "which provider's model stands behind the group; the policy names the group",
    **dict.fromkeys(("weight", "rpm", "tpm", "order", "max_parallel_requests", "itpm", "otpm"), IN_GROUP),
    **dict.fromkeys(("tags", "tag_regex"), f"tag routing {IN_GROUP}"),
    **dict.fromkeys(("max_budget", "budget_duration"), "budgets are not in version 1 of the policy language"),
    "max_retries": "the router sets the provider client's own retries to 0",
}
ROUTER = {
    "routing_strategy_args": RANKING,
    "enable_pre_call_checks": "requests that are too long are refused by LiteLLM before the call; the log shows it",
    "optional_pre_call_checks": f"affinity {IN_GROUP}",
    "enable_tag_filtering": f"tag routing {IN_GROUP}",
    "tag_filtering_match_any": f"tag routing {IN_GROUP}",
    "enable_weighted_failover": IN_GROUP,
    "enable_health_check_routing": "health probes are not in the request log",
    "health_check_staleness_threshold": "health probes are not in the request log",
    "health_check_ignore_transient_errors": "health probes are not in the request log",
    "background_health_check_model_groups": "health probes are not in the request log",
    "provider_budget_config": "budgets are not in version 1 of the policy language",
    "default_max_parallel_requests": IN_GROUP,
}
LIBRARY = frozenset({
    "callbacks", "success_callback", "failure_callback", "service_callback", "audit_log_callbacks", "callback_settings",
    "cache", "cache_params", "drop_params", "modify_params", "add_function_to_prompt", "set_verbose", "json_logs", "telemetry",
    "turn_off_message_logging", "redact_user_api_key_info", "langfuse_default_tags", "default_internal_user_params",
    "default_team_settings", "max_budget", "budget_duration", "guardrails", "ssl_verify", "forward_traceparent_to_llm_provider",
    "enable_json_schema_validation", "disable_end_user_cost_tracking", "custom_prometheus_metadata_labels",
    "upperbound_key_generate_params", "public_model_groups", "enable_preview_features",
    "s3_callback_params", "datadog_params", "ignore_model_aliases",
})  # fmt: skip
SECTIONS = {
    "general_settings": "the proxy's own settings: no part in routing",
    "environment_variables": "the gateway's environment: no part in routing",
    "include": "another file, which was not read: put its keys into this one",
}


def duration(seconds: float) -> str:
    """Return seconds as a policy writes them, at least a millisecond."""
    return show_duration(max(1, round(1000 * seconds)))
