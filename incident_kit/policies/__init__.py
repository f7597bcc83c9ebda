"""Policies: the language of POLICY.md read, checked, changed, compared, written back and said in words."""
