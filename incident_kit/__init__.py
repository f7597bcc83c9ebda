"""Replay an LLM gateway's fallback decisions under other policies, on the incident's own log.

Everything public is here, imported when it is first used: ``import incident_kit as ik``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "Board": "scoring.scorecard",
    "Check": "policygate.checking",
    "Explorer": "widgets.explorer",
    "Incident": "incident",
    "IncidentKitError": "errors",
    "Library": "optimization.library",
    "Objective": "optimization.objective",
    "Phase": "phases",
    "Policy": "policies.policy",
    "Replay": "scoring.replays",
    "Scenario": "scenarios.scenario",
    "SlaRules": "servicelevels.slarules",
    "Store": "store",
    "Tuner": "widgets.tuner",
    "alerts": "alerting.firings",
    "always_fallback": "policies.baselines",
    "always_primary": "policies.baselines",
    "blind": "policies.baselines",
    "brief": "briefs.briefpage",
    "charts": "",
    "check": "policygate.checking",
    "compare": "scoring.scorecard",
    "compatibility": "backups.compatibilities",
    "contrast": "inspection.contrasts",
    "convert": "gateways.conversion",
    "describe": "policies.policy",
    "diff": "policies.policy",
    "draft": "drafts.drafting",
    "emulate": "gateways.emulation",
    "evaluate": "evaluations",
    "export": "gateways.export",
    "findings": "inspection.battery",
    "frontier": "optimization.frontiers",
    "gate": "policygate.gates",
    "gameday": "gamedays.rehearsals",
    "join_suggestions": "helpdesk.suggestions",
    "join_tickets": "helpdesk.joining",
    "lead_times": "alerting.leads",
    "new_case": "case",
    "notebook_page": "notebookpages.notebookpage",
    "open_case": "case",
    "override_rates": "helpdesk.suggestions",
    "pack": "packs.packing",
    "recommend": "optimization.recommendations",
    "reconcile": "helpdesk.reconciliation",
    "rehearse": "gamedays.rehearsal",
    "replay": "scoring.replays",
    "sample_budget": "scoring.budget",
    "save_tickets": "helpdesk.ticketlist",
    "sensitivity": "optimization.sensitivities",
    "simulate": "simulation",
    "sla": "servicelevels.slaclock",
    "sla_report": "servicelevels.slaclock",
    "sources": "",
    "sweep": "optimization.tuning",
    "ticket_list": "helpdesk.ticketlist",
    "tune": "optimization.tunings",
    "versions": "policies.policyversions",
}
__all__ = [
    "Board",
    "Check",
    "Explorer",
    "Incident",
    "IncidentKitError",
    "Library",
    "Objective",
    "Phase",
    "Policy",
    "Replay",
    "Scenario",
    "SlaRules",
    "Store",
    "Tuner",
    "alerts",
    "always_fallback",
    "always_primary",
    "blind",
    "brief",
    "charts",
    "check",
    "compare",
    "compatibility",
    "contrast",
    "convert",
    "describe",
    "diff",
    "draft",
    "emulate",
    "evaluate",
    "export",
    "findings",
    "frontier",
    "gameday",
    "gate",
    "join_suggestions",
    "join_tickets",
    "lead_times",
    "new_case",
    "notebook_page",
    "open_case",
    "override_rates",
    "pack",
    "recommend",
    "reconcile",
    "rehearse",
    "replay",
    "sample_budget",
    "save_tickets",
    "sensitivity",
    "simulate",
    "sla",
    "sla_report",
    "sources",
    "sweep",
    "ticket_list",
    "tune",
    "versions",
]

if TYPE_CHECKING:
    from incident_kit import charts, sources
    from incident_kit.alerting.firings import alerts
    from incident_kit.alerting.leads import lead_times
    from incident_kit.backups.compatibilities import compatibility
    from incident_kit.briefs.briefpage import brief
    from incident_kit.case import new_case, open_case
    from incident_kit.drafts.drafting import draft
    from incident_kit.errors import IncidentKitError
    from incident_kit.evaluations import evaluate
    from incident_kit.gamedays.rehearsal import rehearse
    from incident_kit.gamedays.rehearsals import gameday
    from incident_kit.gateways.conversion import convert
    from incident_kit.gateways.emulation import emulate
    from incident_kit.gateways.export import export
    from incident_kit.helpdesk.joining import join_tickets
    from incident_kit.helpdesk.reconciliation import reconcile
    from incident_kit.helpdesk.suggestions import join_suggestions, override_rates
    from incident_kit.helpdesk.ticketlist import save_tickets, ticket_list
    from incident_kit.incident import Incident
    from incident_kit.inspection.battery import findings
    from incident_kit.inspection.contrasts import contrast
    from incident_kit.notebookpages.notebookpage import notebook_page
    from incident_kit.optimization.frontiers import frontier
    from incident_kit.optimization.library import Library
    from incident_kit.optimization.objective import Objective
    from incident_kit.optimization.recommendations import recommend
    from incident_kit.optimization.sensitivities import sensitivity
    from incident_kit.optimization.tuning import sweep
    from incident_kit.optimization.tunings import tune
    from incident_kit.packs.packing import pack
    from incident_kit.phases import Phase
    from incident_kit.policies.baselines import always_fallback, always_primary, blind
    from incident_kit.policies.policy import Policy, describe, diff
    from incident_kit.policies.policyversions import versions
    from incident_kit.policygate.checking import Check, check
    from incident_kit.policygate.gates import gate
    from incident_kit.scenarios.scenario import Scenario
    from incident_kit.scoring.budget import sample_budget
    from incident_kit.scoring.replays import Replay, replay
    from incident_kit.scoring.scorecard import Board, compare
    from incident_kit.servicelevels.slaclock import sla, sla_report
    from incident_kit.servicelevels.slarules import SlaRules
    from incident_kit.simulation import simulate
    from incident_kit.store import Store
    from incident_kit.widgets.explorer import Explorer
    from incident_kit.widgets.tuner import Tuner


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'incident_kit' has no attribute {name!r}")
    module = importlib.import_module(f"incident_kit.{_WHERE[name] or name}")
    value = getattr(module, name) if _WHERE[name] else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
