"""What is observed, what it makes of breakers and alerts (S6, S9 to S20)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

from actors import (
    ALERT_SWEEP,
    COOLDOWN,
    FEEDBACK,
    MAX_DURATION,
    MS,
    RELEASE,
    SWEEP,
    AlertChange,
    Change,
    Guard,
    Request,
    Sent,
    Watch,
    alert_names,
    counters,
    is_testing,
)
from setting import Setting
from truths import Seen, first_counted_ms, in_each, kleene, truth, uses, within

from incident_kit.engine.plan import is_in
from incident_kit.policies.conditions import Condition


class Judging(Setting):
    """The observers of a run."""

    def everyone(self) -> list[Guard | Watch]:
        return [*self.in_order, *self.watches]

    def observers_of(self, request: Request) -> list[Guard | Watch]:
        return [*self.guards_of(request), *self.watches_of(request)]

    # --- what is observed ---

    def observes(self, guard: Guard, sent: Sent) -> bool:
        """S6, S10, S14: calls on the target, by the epoch in which they were sent."""
        if sent.outcome.kind != "call":
            return False
        if guard.rules.scope == "target" and guard.state == "CLOSED":
            return guard.target == sent.target and sent.tick > guard.changed
        return guard is sent.guard and guard.epoch == sent.epoch

    def observers(self, sent: Sent) -> Iterator[Guard]:
        return (guard for guard in self.in_order if self.observes(guard, sent))

    def observe(self, one: Guard | Watch, seen: Seen) -> None:
        when = one.rules.when.leaves
        used = [condition for condition in dict.fromkeys((*when, *one.more)) if uses(condition, seen)]
        for condition in used:
            one.seen[condition].append(seen)
        if isinstance(one, Guard) and one.state == "CLOSED" and one.rules.every_ms is None and {*used} & {*when}:
            self.touched.append(one)

    def touch(self, request: Request, at: int) -> None:
        ticket = request.facts.ticket if request.facts else None
        if ticket is None:
            return
        for one in self.observers_of(request):
            one.tickets.add(ticket)
            if not is_testing(one):
                self.observe(one, Seen(at, "touch", name=ticket))

    def help_desk(self, row: Any, at: int) -> None:
        for one in self.everyone():
            if row.ticket in one.tickets and not is_testing(one):
                self.observe(one, Seen(at, row.what, name=row.ticket))

    def signal(self, row: Any, at: int) -> None:
        seen = Seen(at, "signal", part=row.numerator, whole=row.denominator, name=row.name)
        for guard in self.in_order:
            route = self.routes[guard.route]
            of_intent = row.intent == guard.intent if guard.rules.scope == "intent" else route.matches(row.intent)
            if (row.intent is None or of_intent) and row.target in {None, guard.target} and not is_testing(guard):
                self.observe(guard, seen)
        for watch in self.watches:
            if row.intent is None or watch.rules.matches(row.intent):
                self.observe(watch, seen)

    def decided(self, observers: Sequence[Guard | Watch], at: int) -> None:
        for one in observers:
            self.observe(one, Seen(at, "decision"))

    def observe_end(self, sent: Sent, at: int) -> None:
        """S10: an attempt, when it is done."""
        outcome = sent.outcome
        for guard in self.observers(sent):
            failed = outcome.error is not None and is_in(outcome.error, guard.rules.errors)
            crossed = frozenset(sent.crossed) if guard.rules.observe == "elapsed" else frozenset()
            self.observe(guard, Seen(at, "done", outcome.latency_ms, outcome.error, failed, crossed=crossed))
            if outcome.ttft_ms is not None and outcome.ttft_ms > outcome.latency_ms:  # cut before it
                self.observe(guard, Seen(at, "token", outcome.latency_ms))

    def ages(self, sent: Sent) -> set[int]:
        """S18: the ages at which some breaker takes an attempt in flight for slow."""
        elapsed = [one for one in self.in_order if one.rules.observe == "elapsed" and one.target == sent.target]
        return {first_counted_ms(c) for one in elapsed for c in one.rules.conditions if c.kind == "latency"}

    def token(self, sent: Sent, at: int) -> None:
        for guard in self.observers(sent):
            self.observe(guard, Seen(at, "token", sent.outcome.ttft_ms or 0))

    def crossing(self, sent: Sent, age: int, at: int) -> None:
        """S18: in flight, and known to be slow."""
        sent.crossed.add(age)
        for guard in self.observers(sent):
            if guard.rules.observe == "elapsed":
                self.observe(guard, Seen(at, "crossed", age))

    def hear(self, sent: Sent, at: int, *, is_answer: bool) -> None:
        """What is said of an attempt later: tool results, and, of an answer, what an agent did with it."""
        outcome, world = sent.outcome, self.world
        if outcome.tool_calls and outcome.tool_ok is not None and sent.has_tools:
            seen = Seen(at, "tools", part=outcome.tool_ok, whole=outcome.tool_calls)
            if outcome.tool_after_us is None:
                self.heard(sent, seen, is_answer, at)
            else:
                self.put(at + outcome.tool_after_us, FEEDBACK, sent, "heard", sent, seen, is_answer)
        if not is_answer:
            return
        review_at = at + (outcome.review_after_us or 0)
        if world.feedback == "reviewed" and outcome.overridden is not None:
            seen = Seen(at, "override", part=outcome.overridden, whole=1)
            self.put(review_at, FEEDBACK, sent, "heard", sent, seen, is_answer)
        if world.feedback == "overrides":
            seen = Seen(at, "override", whole=1)
            self.put(at + world.feedback_lag_us, FEEDBACK, sent, "heard", sent, seen, is_answer)
            if outcome.overridden:
                seen = Seen(at, "override", part=1)
                self.put(review_at, FEEDBACK, sent, "heard", sent, seen, is_answer)

    def heard(self, sent: Sent, seen: Seen, is_answer: bool, at: int) -> None:  # noqa: FBT001 - an event's arguments
        for guard in self.observers(sent):
            self.observe(guard, seen._replace(at=at))
        for watch in self.watches_of(sent.request) if is_answer else ():
            self.observe(watch, seen._replace(at=at))

    def end(self, request: Request, at: int, error: str | None, *, last: Sent | None = None) -> None:
        """The request's final status: what alerts observe, and the route's own share of fallbacks and cost."""
        request.error, request.wait = error, at - request.arrived
        for one in self.observers_of(request):
            if isinstance(one, Watch):
                self.observe_request(one, request, at, last)
            elif one.epoch != request.epochs.get(one):
                continue
            is_fallback = self.is_fallback(request)
            if is_fallback is not None:
                self.observe(one, Seen(at, "end", part=is_fallback, whole=1))
            if request.cost_nano is not None:
                self.observe(one, Seen(at, "cost", part=request.cost_nano))

    def observe_request(self, watch: Watch, request: Request, at: int, last: Sent | None) -> None:
        """Whose latency: the request's wait and its final status, one per request."""
        error = request.error
        failed = error is not None and (error == "rejected" or is_in(error, watch.rules.errors))
        what = "bare" if request.is_no_model else "done"
        self.observe(watch, Seen(at, what, Fraction(request.wait or 0, MS), error, failed))
        if last and error is None and last.outcome.ttft_ms is not None:
            first = last.at + last.outcome.ttft_ms * MS - request.arrived
            self.observe(watch, Seen(at, "token", Fraction(first, MS)))

    def lose_exactness(self, sent: Sent) -> None:
        """`state_exact` ends where a breaker is fed with what was not observed."""
        names = {watch.rules.name for watch in self.watches_of(sent.request)}
        for guard in self.in_order:
            fed = guard is sent.guard and sent.epoch is not None
            fed |= guard.rules.scope == "target" and guard.state == "CLOSED" and guard.target == sent.target
            fed |= bool(names & alert_names(guard))
            counts_ends = any(leaf.kind in {"fallback", "cost"} for leaf in guard.rules.conditions)
            fed |= counts_ends and sent.request.epochs.get(guard) == guard.epoch
            guard.exact &= not fed

    # --- breakers ---

    def evaluate_touched(self, at: int) -> None:
        """S13, every: completion: evaluated at each observation that any of its conditions uses."""
        touched, self.touched = self.touched, []
        for guard in self.in_order:
            if guard in touched and guard.state == "CLOSED":
                self.evaluate(guard, at)

    def evaluate(self, guard: Guard, at: int) -> None:
        """S9, S12, S13."""
        if not self.holds(guard, at):
            guard.true_since = None
            return
        if guard.true_since is None:
            guard.true_since = at
        if at - guard.true_since >= guard.rules.for_ms * MS:
            self.change(guard, at, "OPEN")

    def holds(self, one: Guard | Watch, at: int) -> bool | None:
        return in_each(
            one.rules.windows,
            lambda window: kleene(one.rules.when, lambda c: self.condition(c, one, window=window, at=at)),
        )

    def condition(self, condition: Condition, one: Guard | Watch, *, window: Any, at: int) -> bool | None:
        if condition.kind == "alert":  # S20
            return next(watch.firing for watch in self.watches if watch.rules.name == condition.name)
        seen = within(one.seen[condition], window, at)
        min_requests = one.rules.min_requests
        if window.kind == "count":
            min_requests = min(min_requests, window.length)
        return truth(condition, seen, min_requests=min_requests, no_data=one.rules.no_data)

    def sweep(self, guard: Guard, at: int) -> None:
        """S13, every: D."""
        if guard.state == "CLOSED":
            self.evaluate(guard, at)
        self.put(at + (guard.rules.every_ms or 0) * MS, SWEEP, guard.position, "sweep", guard)

    def probe_is_in(self, sent: Sent, at: int) -> None:
        """S16: when all probes are in, judge them."""
        guard = sent.guard
        if guard is None or sent.request not in guard.probing:
            return
        guard.probing.discard(sent.request)
        if guard.permits >= guard.rules.half_open.requests and not guard.probing:
            self.judge(guard, at)

    def overdue(self, sent: Sent, at: int) -> None:
        """S16: a probe not done in time is a failed, slow observation, and the last word on this probe."""
        guard = sent.guard
        if guard is None or sent.request not in guard.probing:
            return
        waited = guard.rules.half_open.max_wait_ms
        crossed = frozenset(sent.crossed) if guard.rules.observe == "elapsed" else frozenset()
        self.observe(guard, Seen(at, "done", waited, "timeout", failed=True, overdue=True, crossed=crossed))
        self.probe_is_in(sent, at)
        sent.epoch = None

    def judge(self, guard: Guard, at: int) -> None:
        """S16: over all that was observed in HALF_OPEN; unknown reads as not passed, and so does nothing at all."""
        rule = guard.judged

        def held(condition: Condition) -> bool | None:
            return truth(condition, guard.seen[condition], min_requests=1, no_data=guard.rules.no_data)

        nothing_seen = rule is None or not any(guard.seen[condition] for condition in rule.leaves)
        met = None if rule is None or nothing_seen else kleene(rule, held)
        passed = met if guard.rules.half_open.when else None if met is None else not met
        self.change(guard, at, "CLOSED" if passed else "OPEN")

    def max_duration(self, guard: Guard, epoch: int, at: int) -> None:
        """S16: too long in HALF_OPEN; nothing in: OPEN."""
        if guard.epoch == epoch:
            self.judge(guard, at)

    def rested(self, guard: Guard, epoch: int, at: int) -> None:
        """S7, S17: a cooldown's end matters to a breaker without probes, and to a queue."""
        if guard.epoch != epoch:
            return
        if guard.rules.half_open.requests == 0:
            self.change(guard, at, "CLOSED")
        elif self.held_of(guard):
            self.change(guard, at, "HALF_OPEN")

    def change(self, guard: Guard, at: int, state: str) -> None:
        """S14: every change clears the window and begins a new epoch."""
        k, n = counters(guard, at)
        change = Change(at, guard.route, guard.entry, guard.intent, guard.state, state, k, n, guard.exact)
        self.changes.append(change)
        guard.reopened = guard.reopened + 1 if (guard.state, state) == ("HALF_OPEN", "OPEN") else guard.reopened
        if state == "CLOSED":
            guard.reopened = 0
        guard.state = state
        guard.epoch += 1
        guard.changed = self.tick()
        guard.seen.clear()
        guard.true_since = None
        guard.permits, guard.probing = 0, set()
        half_open, held = guard.rules.half_open, self.held_of(guard)
        if state == "OPEN":
            guard.open_until = at + guard.rules.rest_ms(guard.reopened) * MS  # S15
            if half_open.requests == 0 or held:
                self.put(guard.open_until, COOLDOWN, guard.position, "rested", guard, guard.epoch)
        else:
            for request in held:
                self.put(at, RELEASE, request, "release", request)
        if state == "HALF_OPEN" and half_open.max_duration_ms is not None:
            until = at + half_open.max_duration_ms * MS
            self.put(until, MAX_DURATION, guard.position, "max_duration", guard, guard.epoch)

    # --- alerts ---

    def alert_sweep(self, watch: Watch, at: int) -> None:
        """S19."""
        rules, is_true = watch.rules, self.holds(watch, at) is True
        if is_true:
            watch.true_since = at if watch.true_since is None else watch.true_since
            watch.last_true = at
        else:
            watch.true_since = None
        if is_true and not watch.firing and at - (watch.true_since or 0) >= rules.for_ms * MS:
            self.turn(watch, at, firing=True)
        elif watch.firing and not is_true and at - watch.last_true >= rules.keep_firing_ms * MS:
            self.turn(watch, at, firing=False)
        self.put(at + rules.every_ms * MS, ALERT_SWEEP, watch.position, "alert_sweep", watch)

    def turn(self, watch: Watch, at: int, *, firing: bool) -> None:
        watch.firing = firing
        self.alert_changes.append(AlertChange(at, watch.position, firing))
        for guard in self.in_order:
            if guard.rules.every_ms is None and watch.rules.name in alert_names(guard):
                self.touched.append(guard)
