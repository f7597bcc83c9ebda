"""Service levels: SLA clocks over opening hours, counted anew from a help desk's own records."""
