"""Clusters: the same replay, and work on many incidents, on Spark."""
