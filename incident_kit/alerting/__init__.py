"""Alerting: when alerts fire, when the help desk felt it, and the time between."""
