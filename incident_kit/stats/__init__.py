"""Statistics that know nothing of gateways: draws, intervals, shares beside shares, rises, survival curves."""
