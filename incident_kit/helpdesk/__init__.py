"""The help desk: tickets and suggestions joined with requests, and what a policy would have changed for them."""
