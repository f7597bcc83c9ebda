"""The gate: may this policy be merged, judged against incidents and limits."""
