"""Charts: pure functions from frames to Altair charts; nothing here reads a store."""

from incident_kit.charts.budget import budget
from incident_kit.charts.compatibility import compatibility
from incident_kit.charts.cost import cost
from incident_kit.charts.coverage import coverage
from incident_kit.charts.frontier import frontier
from incident_kit.charts.offline import enable_offline, png, svg
from incident_kit.charts.quality import quality
from incident_kit.charts.sensitivity import sensitivity
from incident_kit.charts.sla import sla
from incident_kit.charts.states import states
from incident_kit.charts.timeline import timeline
from incident_kit.charts.whatif import whatif

__all__ = [
    "budget",
    "compatibility",
    "cost",
    "coverage",
    "enable_offline",
    "frontier",
    "png",
    "quality",
    "sensitivity",
    "sla",
    "states",
    "svg",
    "timeline",
    "whatif",
]
