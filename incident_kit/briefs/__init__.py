"""Briefs: the page for leadership, its mail, its record, and whether it can be made again."""
