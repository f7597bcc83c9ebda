"""Widgets: live views in a notebook that follow the hand: the Tuner, the Explorer, and what feeds them."""
