"""A plain interpreter of POLICY.md: one event after the other, nothing clever. The judge of the compiled kernel.

The S-numbers are POLICY.md's. It shares no code with the kernel; what a condition says is read from its text (truths.py),
what would happen from a world (worlds.py). All routes and alerts of a policy run together over one log. Here is the way of
requests; what is made of what they meet is in judging.py.
"""

from __future__ import annotations

import heapq
import math
from fractions import Fraction

from actors import (
    ALERT_SWEEP,
    ARRIVAL,
    COMPLETION,
    COOLDOWN,
    CROSSING,
    DEADLINE,
    DESK_ROW,
    DONE,
    HOP,
    MS,
    OVERDUE,
    QUEUE_END,
    RETRY,
    SIGNAL,
    SWEEP,
    TOKEN,
    UNROUTED,
    Guard,
    Request,
    Sent,
    counters,
    is_to_come,
    keeps_sweeping,
    microseconds,
    next_multiple,
    primary_rank,
    share_draw,
)
from judging import Judging
from worlds import Attempt, Logged

from incident_kit.engine.plan import is_in

__all__ = ["Attempt", "Guard", "Interpreter", "primary_rank", "share_draw"]


class Interpreter(Judging):
    """A policy over a world; after `run`: ``requests``, ``changes``, ``alert_changes``."""

    def run(self) -> Interpreter:
        for request in self.requests:
            self.put(request.arrived, ARRIVAL, request, "arrive", request)
            if request.route is None:
                self.leave_as_logged(request)
        for i, row in enumerate(self.world.desk):
            self.put(row.at_us, DESK_ROW, i, "help_desk", row)
        for i, signal in enumerate(self.world.signals):
            self.put(signal.at_us, SIGNAL, i, "signal", signal)
        start = min((event[0] for event in self.heap), default=0)
        for watch in self.watches:
            self.put(next_multiple(start, watch.rules.every_ms), ALERT_SWEEP, watch.position, "alert_sweep", watch)
        for guard in self.in_order:
            if guard.rules.every_ms:
                self.put(next_multiple(start, guard.rules.every_ms), SWEEP, guard.position, "sweep", guard)
        while any(map(is_to_come, self.heap)):
            at, _, _, _, what, args = heapq.heappop(self.heap)
            if what in {"alert_sweep", "sweep"} and not any(map(keeps_sweeping, self.heap)):
                continue  # S13: nothing to come, nothing swept
            getattr(self, what)(*args, at)
            self.evaluate_touched(at)
        return self

    # --- to a target ---

    def arrive(self, request: Request, at: int) -> None:
        request.has_arrived = True
        place = None
        if request.route is not None:
            by_hand = place = self.by_hand(request, at)
            if place is None:
                place = self.by_conversation(request, at)
            if place is None:
                place = self.choose(request, at, start=0)
            assert place is not None
            first, entry = self.guard(request, request.order[0]), request.order[place]
            guard = self.guard(request, entry)
            request.first = entry
            request.state = first.state if first else "CLOSED"
            request.k, request.n = counters(first, at) if first else (0, 0)
            request.exact = by_hand is not None or (
                all(one.exact for one in request.asked) and self.talk(request) not in self.inexact
            )
            request.probe = guard is not None and request in guard.probing
            request.epochs |= {one: one.epoch for one in self.guards_of(request) if one.state == "CLOSED"}
            self.decided([one for one, epoch in request.epochs.items() if one.epoch == epoch], at)
        self.touch(request, at)
        self.decided(self.watches_of(request), at)
        if place is not None:  # all that a decision says comes before a probe without an outcome is judged
            self.take(request, place, at)

    def by_hand(self, request: Request, at: int) -> int | None:
        """S21: whatever the breaker says; never a probe."""
        route = self.routes[request.route or 0]
        for switch in route.switches:
            if microseconds(switch.start) <= at and (switch.end is None or at < microseconds(switch.end)):
                return next(i for i, e in enumerate(request.order) if route.chain[e].label == switch.to)
        return None

    def by_conversation(self, request: Request, at: int) -> int | None:
        """S22, sticky: the target of the conversation's last attempt, if it is available."""
        talk = self.talk(request)
        e = self.sticky.get(talk) if talk else None
        if e is None or self.entry(request, e).only_for:
            return None
        return request.order.index(e) if self.is_available(request, e, at) else None

    def choose(self, request: Request, at: int, *, start: int, error: str | None = None) -> int | None:
        """S4: the first available entry; the last is always available."""
        for place in range(start, len(request.order)):
            e = request.order[place]
            if self.is_open_to(request, e, error=error) and (
                self.is_available(request, e, at) or place == len(request.order) - 1
            ):
                return place
        return None

    def is_open_to(self, request: Request, e: int, *, error: str | None) -> bool:
        """S4: only_for on a matching failure; a queue is not taken twice."""
        entry = self.entry(request, e)
        if entry.only_for and (error is None or not is_in(error, entry.only_for)):
            return False
        return e not in request.queued

    def is_available(self, request: Request, e: int, at: int) -> bool:
        """S4, S15, S16: CLOSED, or HALF_OPEN with a permit left, which is taken."""
        guard = self.guard(request, e)
        if guard is None:
            return True
        request.asked.append(guard)
        half_open = guard.rules.half_open
        if guard.state == "OPEN" and at >= guard.open_until:
            self.change(guard, at, "HALF_OPEN")
        if guard.state == "CLOSED":
            return True
        assert request.facts is not None
        if (
            guard.state == "HALF_OPEN"
            and guard.permits < half_open.requests
            and share_draw(request.facts.id) < half_open.share
        ):
            guard.permits += 1
            guard.probing.add(request)
            request.epochs[guard] = guard.epoch
            return True
        return False

    def take(self, request: Request, place: int, at: int) -> None:
        """S7: a model is called, a queue holds, any other entry ends the request."""
        request.place, request.entry, request.number = place, request.order[place], 0
        kind = self.entry(request).kind
        if kind == "model":
            self.send(request, at)
        elif kind == "queue":
            self.hold(request, at)
        else:
            request.is_no_model = True
            self.end(request, at, "rejected" if kind == "reject" else None)

    # --- attempts ---

    def send(self, request: Request, at: int) -> None:
        request.turn += 1
        request.attempts += 1
        route, entry, guard = self.routes[request.route or 0], self.entry(request), self.guard(request, request.entry)
        outcome, is_last_word = self.cut(request, self.outcome(request, entry.model, at), at)
        is_observed = guard is not None and (guard.state == "CLOSED" or request in guard.probing)  # S14
        sent = Sent(
            request,
            entry.model,
            request.attempts,
            at,
            at + int(outcome.latency_ms * MS),
            outcome,
            guard,
            guard.epoch if guard and is_observed else None,
            self.tick(),
            has_tools=not (self.is_degraded(request) and route.on_fallback.tools == "disabled"),
            is_last_word=is_last_word,
        )
        if not outcome.is_observed:
            self.lose_exactness(sent)
        if talk := self.talk(request):
            self.sticky[talk] = request.entry
            if not (request.exact and outcome.is_observed):
                self.inexact.add(talk)
        if outcome.kind is None:
            request.has_outcome, request.error = False, "unknown"
            self.probe_is_in(sent, at)
            return
        self.spend(request, outcome.cost_nano)
        self.fly(sent)
        max_wait_us = guard.rules.half_open.max_wait_ms * MS if guard else 0
        is_probe = guard is not None and request in guard.probing
        if is_probe and not route.retry.timeout_ms and sent.done > at + max_wait_us:
            self.put(at + max_wait_us, COMPLETION, sent, "overdue", sent, then=OVERDUE)

    def cut(self, request: Request, outcome: Attempt, at: int) -> tuple[Attempt, bool]:
        """S8, S10: timeouts end an attempt, the deadline everything; return whether it did. No tools are called then."""
        if outcome.kind is None:
            return outcome, False
        retry, deadline = self.routes[request.route or 0].retry, self.deadline(request)
        limits_ms: list[int | Fraction] = []
        if outcome.kind == "call":
            if retry.timeout_ms:
                limits_ms.append(retry.timeout_ms)
            if retry.ttft_timeout_ms and (outcome.ttft_ms or 0) > retry.ttft_timeout_ms:
                limits_ms.append(retry.ttft_timeout_ms)
        shortest = min(limits_ms, default=outcome.latency_ms)
        if outcome.latency_ms > shortest:
            outcome = outcome._replace(latency_ms=shortest, error="timeout", tool_ok=None)
        if deadline is not None and at + outcome.latency_ms * MS > deadline:
            return outcome._replace(latency_ms=(deadline - at) // MS, error="timeout", tool_ok=None), True
        return outcome, False

    def fly(self, sent: Sent) -> None:
        """Enter what is known of an attempt on its way, and its end."""
        outcome = sent.outcome
        self.put(sent.done, COMPLETION, sent, "done", sent, then=DONE)
        if outcome.kind != "call":
            return
        if outcome.ttft_ms is not None and outcome.ttft_ms <= outcome.latency_ms:
            self.put(sent.at + outcome.ttft_ms * MS, COMPLETION, sent, "token", sent, then=TOKEN)
        for age in self.ages(sent):
            if age < outcome.latency_ms:
                self.put(sent.at + age * MS, COMPLETION, sent, "crossing", sent, age, then=CROSSING)

    def done(self, sent: Sent, at: int) -> None:
        request, outcome = sent.request, sent.outcome
        follows = self.follows(sent)
        self.observe_end(sent, at)
        if outcome.error is not None and (talk := self.talk(request)):
            self.sticky.pop(talk, None)
        if follows == "nothing":
            self.end(request, at, outcome.error, last=sent)
        if outcome.kind == "call":
            self.hear(sent, at, is_answer=follows == "nothing" and outcome.error is None)
        self.evaluate_touched(at)
        if follows == "retry":
            self.put(at + self.routes[request.route or 0].retry.backoff_ms * MS, RETRY, request, "retry", request)
            return
        self.probe_is_in(sent, at)
        if follows == "hop":
            self.put(at, HOP, request, "hop", request, outcome.error)
        elif follows == "deadline":
            self.put(self.deadline(request) or at, DEADLINE, request, "expire", request, request.turn)

    def follows(self, sent: Sent) -> str:
        """S8: retry on the same target, then the next entry, if the class allows; a broken stream is with the client."""
        request, error = sent.request, sent.outcome.error
        if sent.is_last_word or request.route is None or sent.outcome.kind != "call" or error in {None, "cut"}:
            return "another" if request.route is None and not sent.is_last_word else "nothing"
        route, deadline = self.routes[request.route], self.deadline(request) or math.inf
        assert error is not None
        if sent.done >= deadline:
            return "nothing"
        if request.number < route.retry.attempts and is_in(error, route.retry.retry_on):
            return "retry" if sent.done + route.retry.backoff_ms * MS < deadline else "deadline"
        rest = request.order[request.place + 1 :]
        goes_on = is_in(error, route.fallback_on) and any(self.is_open_to(request, e, error=error) for e in rest)
        return "hop" if goes_on else "nothing"

    def retry(self, request: Request, at: int) -> None:
        request.number += 1
        self.send(request, at)

    def hop(self, request: Request, error: str, at: int) -> None:
        place = self.choose(request, at, start=request.place + 1, error=error)
        if place is None:
            self.end(request, at, error)
        else:
            self.take(request, place, at)

    # --- queues and deadlines ---

    def hold(self, request: Request, at: int) -> None:
        """S7: held until the primary is tried again, or for so long."""
        request.turn += 1
        request.is_held = request.was_held = True
        request.queued.add(request.entry)
        until = at + (self.entry(request).queue_ms or 0) * MS
        self.put(until, QUEUE_END, request, "queue_end", request, request.turn)
        deadline = self.deadline(request)
        if deadline is not None and deadline < until:
            self.put(deadline, DEADLINE, request, "expire", request, request.turn)
        for guard in self.primary_guards(request):
            if guard.state == "OPEN":
                self.put(max(at, guard.open_until), COOLDOWN, guard.position, "rested", guard, guard.epoch)

    def release(self, request: Request, at: int) -> None:
        """S7: each takes a permit or waits on."""
        if not request.is_held:
            return
        for place, e in enumerate(request.order[: len(self.primaries(request))]):
            if self.is_available(request, e, at):
                request.is_held = False
                self.take(request, place, at)
                return

    def queue_end(self, request: Request, turn: int, at: int) -> None:
        """S7: down the chain, or, if nothing is left, to the primary."""
        if not request.is_held or request.turn != turn:
            return
        request.is_held = False
        place = self.choose(request, at, start=request.place + 1)
        self.take(request, 0 if place is None else place, at)

    def expire(self, request: Request, turn: int, at: int) -> None:
        """S8: `deadline_ms` ends everything."""
        if request.turn == turn:
            request.turn += 1
            request.is_held = False
            self.end(request, at, "timeout")

    # --- what no route takes ---

    def leave_as_logged(self, request: Request) -> None:
        """S4: what is unrouted stays as logged."""
        calls = self.world.logged.get(request.position, Logged(())).calls
        request.has_outcome = bool(calls)
        request.error = "unfinished" if calls else "unknown"
        for serial, call in enumerate(calls, 1):
            args = (request, serial, call.target, call.attempt, serial == len(calls))
            self.put(call.sent_us, UNROUTED, request, "send_logged", *args)

    def send_logged(self, request: Request, serial: int, target: str, outcome: Attempt, is_last: bool, at: int) -> None:  # noqa: FBT001
        request.attempts += 1
        done = at + int(outcome.latency_ms * MS)
        self.spend(request, outcome.cost_nano)
        self.fly(Sent(request, target, serial, at, done, outcome, None, None, self.tick(), is_last_word=is_last))
