"""The rules of the house that no ready-made linter knows. Run: `python -m tools.lint` in `backend/`."""
