"""Inspection: what stands out in an incident, and how long it took to see and to mend."""
