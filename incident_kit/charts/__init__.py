"""Charts: pure functions from frames to Altair charts; nothing here reads a store."""

from incident_kit.charts.compatibility import compatibility
from incident_kit.charts.frontier import frontier
from incident_kit.charts.offline import enable_offline, png, svg
from incident_kit.charts.quality import quality
from incident_kit.charts.sensitivity import sensitivity
from incident_kit.charts.states import states
from incident_kit.charts.timeline import timeline

__all__ = ["compatibility", "enable_offline", "frontier", "png", "quality", "sensitivity", "states", "svg", "timeline"]
