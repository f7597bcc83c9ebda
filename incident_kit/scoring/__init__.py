"""Scoring: the frames of a replay, metrics over them, policies side by side, and how far to believe them."""
