"""Estimation: what would have happened to a request on a target that it did not go to, and how sure that is."""
