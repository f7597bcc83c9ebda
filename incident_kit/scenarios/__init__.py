"""Scenarios: incidents from a script, and what every target would have done to every request of theirs."""
