"""Packs: an incident as a small folder that replays to the same, without ids, text or paths."""
