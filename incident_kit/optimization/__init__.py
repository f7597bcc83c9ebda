"""Optimization: policies at many settings, over one incident or a library of them."""
