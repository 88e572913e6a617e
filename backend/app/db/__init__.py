"""Engines, sessions, column types and the generic repositories."""
