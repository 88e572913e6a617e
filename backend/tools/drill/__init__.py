"""Kills, cuts off, floods and redeploys a running service, and counts what was lost. Run: `python -m tools.drill`."""
