"""SLA rules: what a clock does where help desks differ. Each desk has its own defaults; every one can be said otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from incident_kit.errors import InvalidClock, did_you_mean

Change = Literal["retroactive", "restart", "parallel", "first"]
VERDICTS = ("met", "breached", "active", "cancelled", "too close to call", "cannot be recomputed")
STATUSES = ("new", "open", "pending", "hold", "solved", "closed")


class SlaRules(BaseModel):
    """The rules of one help desk's clocks; those of Zendesk where nothing else is said.

    Attributes
    ----------
    reply_target_change, work_target_change
        What another target does to a running clock. ``retroactive``: time already counted stays and is held against it, a
        breach that was there stays. ``restart``: the instance ends as cancelled, a new one counts from there. ``parallel``: a
        new one counts from there beside the old one. ``first``: nothing.
    schedule_change
        Time counts on the schedule ``in force`` at each moment, or all of it on the ``last`` one.
    schedule_grace_s
        A schedule given to a ticket so soon after its start counts from the start: a trigger gave it.
    solve_stops_reply
        Solving a ticket ends the wait for a reply.
    bots_reply
        A bot's public comment is a reply.
    reopen
        A clock of work ``continues`` when a solved ticket is opened again, or a ``new instance`` starts.
    requester_wait, agent_work, resolution
        The statuses in which these clocks run.
    breach_on_equal
        A target that is reached exactly is breached.
    breach_share
        The share of the target beyond which it is breached; below 1 where a desk rounds percentages up.
    precision_s
        A margin smaller than this is too close to call. None: 60 where all of a desk's times are whole minutes, else 0.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reply_target_change: Change = "retroactive"
    work_target_change: Change = "retroactive"
    schedule_change: Literal["in force", "last"] = "in force"
    schedule_grace_s: float = Field(default=60.0, ge=0)
    solve_stops_reply: bool = False
    bots_reply: bool = False
    reopen: Literal["continues", "new instance"] = "continues"
    requester_wait: tuple[str, ...] = ("new", "open", "hold")
    agent_work: tuple[str, ...] = ("new", "open")
    resolution: tuple[str, ...] = ("new", "open")
    breach_on_equal: bool = False
    breach_share: float = Field(default=1.0, gt=0.9, le=1.0)
    precision_s: float | None = Field(default=None, ge=0)

    def target_change(self, metric: str) -> Change:
        """Return what another target does to a clock of that metric."""
        return self.reply_target_change if metric in {"first_reply", "next_reply"} else self.work_target_change

    def but(self, **changes: Any) -> SlaRules:
        """Return the rules with some said otherwise.

        Raises
        ------
        InvalidClock
            There is no such rule, or it has no such value.
        """
        unknown = [name for name in changes if name not in SlaRules.model_fields]
        if unknown:
            known = list(SlaRules.model_fields)
            raise InvalidClock(
                f"there is no SLA rule {unknown[0]!r}{did_you_mean(unknown[0], known)}; rules are {', '.join(known)}"
            )
        try:
            return SlaRules.model_validate(self.model_dump() | changes)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(str(part) for part in fault["loc"])
            raise InvalidClock(f"SLA rule {where}: {fault['msg']}, not {str(fault['input'])[:40]!r}") from None


_CYCLES = {"reopen": "new instance"}
DESKS: Mapping[str, SlaRules] = {
    "zendesk": SlaRules(),
    "freshdesk": SlaRules(),
    "intercom": SlaRules(),
    "jira": SlaRules(**_CYCLES),
    # its percentage is rounded: 99.951 counts as 100
    "servicenow": SlaRules(**_CYCLES, work_target_change="restart", reply_target_change="restart", breach_share=0.9995),
    "salesforce": SlaRules(**_CYCLES, work_target_change="restart", reply_target_change="restart"),
}
# the rules by which a published package counts Zendesk's SLAs in a warehouse, where they differ from Zendesk's own
WAREHOUSE = DESKS["zendesk"].but(
    reply_target_change="first", work_target_change="parallel", solve_stops_reply=True, breach_on_equal=False
)


def rules_of(desk: str | None, *, said: Mapping[str, SlaRules] | SlaRules | None = None) -> SlaRules:
    """Return the rules of a desk: those that were said for it, else its own defaults."""
    if isinstance(said, SlaRules):
        return said
    return (said or {}).get(desk or "zendesk") or DESKS.get(desk or "zendesk", DESKS["zendesk"])
