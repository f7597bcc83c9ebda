"""export: a policy in another product's language, with a row for every key of the policy."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from incident_kit.errors import InvalidConfiguration, did_you_mean
from incident_kit.gateways.loss import Fidelity, Ledger, Losses
from incident_kit.outfiles.outputs import write_whole
from incident_kit.policies.policywriter import leaves, long_form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from incident_kit.policies.policy import Policy

Target = Literal["litellm", "prometheus"]
TITLES = {"litellm": "LiteLLM config.yaml", "prometheus": "Prometheus rules"}


@dataclass(frozen=True, slots=True)
class Export:
    """What `export` made: the text, and what became of every key of the policy."""

    text: str
    losses: Losses
    target: Target

    def __str__(self) -> str:
        return self.text

    def save(self, path: str | Path) -> None:
        """Write the text.

        Raises
        ------
        UnwritableFile
            The file cannot be written.
        """
        write_whole(path, self.text)


class Books:
    """The account of an export: keys of the policy's long form, booked one by one or with all that stands below."""

    def __init__(self, policy: Policy, title: str) -> None:
        self.tree: dict[str, Any] = long_form(policy)
        self.implied = {one.path for one in policy.implied}
        self.paths = [path for path, _ in leaves(self.tree)]
        self.ledger = Ledger({(path,): (0, value) for path, value in leaves(self.tree)}, title=title)

    def under(self, path: str) -> list[str]:
        """Return the leaves at a path and below it."""
        return [one for one in self.paths if one == path or one.startswith((f"{path}.", f"{path}["))]

    def book(self, path: str, fidelity: Fidelity, becomes: str = "", how: str = "") -> None:
        """Book every leaf at a path and below it."""
        for one in self.under(path):
            self.ledger.book((one,), fidelity, becomes, how)

    def rest(self, path: str, why: str) -> None:
        """Drop what is not booked yet at a path and below it."""
        for one in self.under(path):
            if (one,) not in self.ledger.booked:
                self.ledger.book((one,), "dropped", "", why)

    def losses(self) -> Losses:
        """Return the report; values that the policy left unsaid are marked as defaults, of the policy language."""
        found = self.ledger.losses()
        rows = (
            replace(
                row, default=True, how="; ".join(part for part in ("implied by the policy language", row.how) if part)
            )
            if row.key in self.implied
            else row
            for row in found
        )
        return replace(found, rows=tuple(rows))


def export(policy: Policy, to: str, *, metrics: Mapping[str, str] | None = None) -> Export:
    """Return a policy as LiteLLM's ``config.yaml``, or its alerts as Prometheus rules, and a report of every key.

    Parameters
    ----------
    to
        ``litellm`` or ``prometheus``.
    metrics
        For Prometheus: names of metrics and labels in place of `prometheus.METRICS`, which are LiteLLM's where it has any.

    Raises
    ------
    InvalidConfiguration
        There is no such product, or no such metric to name.

    Examples
    --------
    >>> from incident_kit.policies.policy import Policy
    >>> policy = Policy.parse("routes: [{intent: refund, primary: big, fallback: small, retry: {attempts: 2}}]")
    >>> made = export(policy, "litellm")
    >>> "num_retries: 2" in made.text, made.losses.of("routes[0].retry.attempts")[0].fidelity
    (True, 'exact')
    """
    from incident_kit.gateways import litellm_export, prometheus

    if to not in TITLES:
        hint = did_you_mean(to, TITLES)
        raise InvalidConfiguration(f"there is no export to {to!r}{hint}: litellm writes routes, prometheus alerts")
    if metrics is not None and to != "prometheus":
        raise InvalidConfiguration("metrics= names metrics of Prometheus; LiteLLM's config.yaml has none")
    books = Books(policy, f"{policy.name} as {TITLES[to]}")
    if to == "litellm":
        return Export(litellm_export.text(policy, books), books.losses(), "litellm")
    return Export(prometheus.text(policy, books, metrics=metrics or {}), books.losses(), "prometheus")
