"""Other products' configurations: read into a policy, written from one, always with a report of what was lost."""
