"""Notebook pages: a notebook as one offline page, without what its author would not send."""
