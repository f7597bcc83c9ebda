"""Game days: degradations rehearsed on a healthy log, who would be called, and sheets to print."""
