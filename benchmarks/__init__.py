"""Benchmarks: each measures the kit against something everybody can run, side by side in one process."""
