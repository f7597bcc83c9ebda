"""Replay an LLM gateway's fallback decisions under other policies, on the incident's own log.

Everything public is here, imported when it is first used: ``import incident_kit as ik``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_WHERE = {
    "Board": "scorecard",
    "Check": "checking",
    "Explorer": "explorer",
    "Incident": "incident",
    "IncidentKitError": "errors",
    "Library": "library",
    "Objective": "objective",
    "Phase": "phases",
    "Policy": "policy",
    "Replay": "replays",
    "Scenario": "scenario",
    "SlaRules": "slarules",
    "Store": "store",
    "Tuner": "tuner",
    "alerts": "firings",
    "always_fallback": "baselines",
    "always_primary": "baselines",
    "blind": "baselines",
    "brief": "briefpage",
    "charts": "",
    "check": "checking",
    "compare": "scorecard",
    "compatibility": "compatibilities",
    "contrast": "contrasts",
    "convert": "gateways.conversion",
    "describe": "policy",
    "diff": "policy",
    "draft": "drafting",
    "emulate": "gateways.emulation",
    "evaluate": "evaluations",
    "export": "gateways.export",
    "findings": "battery",
    "frontier": "frontiers",
    "gate": "gates",
    "gameday": "rehearsals",
    "join_suggestions": "suggestions",
    "join_tickets": "joining",
    "lead_times": "leads",
    "new_case": "case",
    "notebook_page": "notebookpage",
    "open_case": "case",
    "override_rates": "suggestions",
    "pack": "packing",
    "recommend": "recommendations",
    "reconcile": "reconciliation",
    "rehearse": "rehearsal",
    "replay": "replays",
    "sample_budget": "budget",
    "save_tickets": "ticketlist",
    "sensitivity": "sensitivities",
    "simulate": "simulation",
    "sla": "slaclock",
    "sla_report": "slaclock",
    "sources": "",
    "sweep": "tuning",
    "ticket_list": "ticketlist",
    "tune": "tunings",
    "versions": "policyversions",
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
    from incident_kit.baselines import always_fallback, always_primary, blind
    from incident_kit.battery import findings
    from incident_kit.briefpage import brief
    from incident_kit.budget import sample_budget
    from incident_kit.case import new_case, open_case
    from incident_kit.checking import Check, check
    from incident_kit.compatibilities import compatibility
    from incident_kit.contrasts import contrast
    from incident_kit.drafting import draft
    from incident_kit.errors import IncidentKitError
    from incident_kit.evaluations import evaluate
    from incident_kit.explorer import Explorer
    from incident_kit.firings import alerts
    from incident_kit.frontiers import frontier
    from incident_kit.gates import gate
    from incident_kit.gateways.conversion import convert
    from incident_kit.gateways.emulation import emulate
    from incident_kit.gateways.export import export
    from incident_kit.incident import Incident
    from incident_kit.joining import join_tickets
    from incident_kit.leads import lead_times
    from incident_kit.library import Library
    from incident_kit.notebookpage import notebook_page
    from incident_kit.objective import Objective
    from incident_kit.packing import pack
    from incident_kit.phases import Phase
    from incident_kit.policy import Policy, describe, diff
    from incident_kit.policyversions import versions
    from incident_kit.recommendations import recommend
    from incident_kit.reconciliation import reconcile
    from incident_kit.rehearsal import rehearse
    from incident_kit.rehearsals import gameday
    from incident_kit.replays import Replay, replay
    from incident_kit.scenario import Scenario
    from incident_kit.scorecard import Board, compare
    from incident_kit.sensitivities import sensitivity
    from incident_kit.simulation import simulate
    from incident_kit.slaclock import sla, sla_report
    from incident_kit.slarules import SlaRules
    from incident_kit.store import Store
    from incident_kit.suggestions import join_suggestions, override_rates
    from incident_kit.ticketlist import save_tickets, ticket_list
    from incident_kit.tuner import Tuner
    from incident_kit.tuning import sweep
    from incident_kit.tunings import tune


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'incident_kit' has no attribute {name!r}")
    module = importlib.import_module(f"incident_kit.{_WHERE[name] or name}")
    value = getattr(module, name) if _WHERE[name] else module
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
