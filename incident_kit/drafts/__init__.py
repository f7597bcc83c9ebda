"""Drafts: a first policy from a log, with limits that its healthy time supports."""
