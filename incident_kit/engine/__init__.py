"""The engine: a policy over a log in closed loop, compiled; the fast kernel and the machine that knows the whole language."""
