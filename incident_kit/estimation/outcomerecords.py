"""Outcome records: what a target would answer to one attempt, as arrays hold it; estimators write them, the engine reads them."""

from __future__ import annotations

import numpy as np

NO_OUTCOME, CALL, NOT_A_CALL = 0, 1, 2  # kinds; a cache hit is NOT_A_CALL
OUTCOME = np.dtype([("latency_ms", "i4"), ("error", "i2"), ("kind", "i1"), ("estimated", "i1")], align=True)
