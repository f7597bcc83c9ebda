"""Configurations of other products, written by hand to hold every key that the kit reads and some that it does not."""

# ruff: noqa: E501 - a configuration stands as people write it

LITELLM = """\
model_list:
- model_name: big
  litellm_params: {model: openai/one, api_base: "os.environ/ONE", api_key: sk-123, timeout: 3.5, stream_timeout: 2, weight: 6, rpm: 10}
  model_info: {id: big-east, cooldown_time: 30}
- model_name: big
  litellm_params: {model: openai/two, api_key: sk-456, timeout: 3.5, num_retries: 2, order: 2, tags: [paid]}
  model_info: {id: big-west, cooldown_time: 30, allowed_fails: 4}
- model_name: small
  litellm_params: {model: openai/three, input_cost_per_token: 2.5e-06}
- model_name: long
  litellm_params: {model: openai/four, max_retries: 2}
  model_info: {allowed_fails_policy: {TimeoutErrorAllowedFails: 3, RateLimitErrorAllowedFails: 7}}
- model_name: safe
  litellm_params: {model: openai/five, cooldown_time: 0}
router_settings:
  routing_strategy: latency-based-routing
  routing_strategy_args: {ttl: 10, lowest_latency_buffer: 0.5}
  num_retries: 1
  retry_after: 2
  retry_policy: {TimeoutErrorRetries: 1, RateLimitErrorRetries: 3, BadRequestErrorRetries: 0}
  allowed_fails: 10
  cooldown_time: 15
  timeout: 30
  max_fallbacks: 3
  fallbacks: [{big: [small]}, {small: [safe]}]
  default_fallbacks: [safe]
  context_window_fallbacks: [{big: [long]}]
  content_policy_fallbacks: [{small: [safe]}]
  model_group_alias: {gpt-big: big, hidden: {model: small, hidden: true}}
  enable_pre_call_checks: true
  redis_host: cache.internal
  redis_password: os.environ/REDIS_PASSWORD
litellm_settings:
  num_retries: 4
  request_timeout: 20
  allowed_fails: 5
  callbacks: [prometheus]
  cache: true
  cache_params: {type: redis, ttl: 60}
general_settings: {master_key: sk-secret, database_url: "postgres://user:pass@db/x"}
environment_variables: {A: b}
a_key_of_tomorrow: {x: [1, 2], y: null}
"""

PORTKEY = """\
{"strategy": {"mode": "conditional", "default": "rest",
  "conditions": [
    {"query": {"metadata.intent": {"$in": ["refund", "billing"]}}, "then": "chain"},
    {"query": {"$and": [{"metadata.plan": {"$eq": "paid"}}, {"params.model": "gpt"}]}, "then": "split"},
    {"query": {"$or": [{"metadata.channel": "chat"}, {"metadata.channel": "email"}]}, "then": "split"},
    {"query": {"metadata.user": {"$regex": "^vip"}}, "then": "split"}]},
 "retry": {"attempts": 3, "on_status_codes": [429, 408], "use_retry_after_header": true},
 "request_timeout": 10000, "cache": {"mode": "semantic", "max_age": 60}, "input_guardrails": ["pii"],
 "targets": [
  {"name": "chain",
   "strategy": {"mode": "fallback", "on_status_codes": [429, 500],
    "cb_config": {"failure_threshold": 7, "failure_threshold_percentage": 20, "minimum_requests": 10,
                  "cooldown_interval": 60000, "failure_status_codes": [401, 429, 500]}},
   "targets": [{"virtual_key": "k1", "override_params": {"model": "first", "temperature": 0}},
               {"provider": "@b", "override_params": {"model": "second"}, "retry": {"attempts": 9}}]},
  {"name": "split", "strategy": {"mode": "loadbalance"},
   "targets": [{"provider": "openai", "weight": 0.7, "override_params": {"model": "first"}},
               {"provider": "azure", "weight": 0.3, "api_key": "s", "override_params": {"model": "third"}}]},
  {"name": "rest", "provider": "openai", "override_params": {"model": "fourth"}, "a_key_of_tomorrow": 1}]}
"""

ENVOY = """\
static_resources:
  clusters:
  - name: alpha
    connect_timeout: 1s
    outlier_detection:
      consecutive_5xx: 7
      consecutive_gateway_failure: 3
      enforcing_consecutive_gateway_failure: 0
      enforcing_consecutive_5xx: 100
      interval: 5s
      base_ejection_time: {seconds: 20}
      max_ejection_time: 120s
      max_ejection_time_jitter: 1s
      max_ejection_percent: 50
      enforcing_success_rate: 0
      success_rate_stdev_factor: 1900
      split_external_local_origin_errors: true
      consecutive_local_origin_failure: 4
  - name: beta
    load_assignment: {cluster_name: beta, endpoints: [{priority: 1, lb_endpoints: []}]}
    outlier_detection:
      enforcing_consecutive_5xx: 0
      enforcing_failure_percentage: 100
      failure_percentage_threshold: 50
      failure_percentage_request_volume: 30
      failure_percentage_minimum_hosts: 1
      a_key_of_tomorrow: 1
admin: {access_log_path: /dev/null}
"""

RESILIENCE4J = """\
resilience4j.circuitbreaker:
  configs:
    default: {slidingWindowSize: 10, registerHealthIndicator: true, waitDurationInOpenState: PT5S, permittedNumberOfCallsInHalfOpenState: 3}
    time:
      sliding-window-type: TIME_BASED
      slowCallDurationThreshold: 2s
      slowCallRateThreshold: 40
      enableExponentialBackoff: true
      exponentialBackoffMultiplier: 2
      exponentialMaxWaitDurationInOpenState: 10m
      maxWaitDurationInHalfOpenState: 30s
  instances:
    llm: {baseConfig: time, minimumNumberOfCalls: 5, recordExceptions: [java.util.concurrent.TimeoutException, x.Y]}
    other: {failureRateThreshold: 25, minimumNumberOfCalls: 20, ignoreExceptions: [x.HttpClientErrorException], enableRandomizedWait: true, a-key-of-tomorrow: 1}
resilience4j.timelimiter.instances.llm: {timeoutDuration: 4s, cancelRunningFuture: true}
resilience4j.retry.instances.llm: {maxAttempts: 3, waitDuration: 100ms, retryExceptions: [java.io.IOException], enableExponentialBackoff: true}
resilience4j.bulkhead.instances.llm.maxConcurrentCalls: 5
spring: {application: {name: x}}
"""

ALL = {"litellm": LITELLM, "portkey": PORTKEY, "envoy": ENVOY, "resilience4j": RESILIENCE4J}
