"""Merit: one account system and one async HTTP API."""

__version__ = "0.1.0"
