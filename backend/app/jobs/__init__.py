"""Durable jobs: written in the caller's transaction, run by workers, at least once."""
