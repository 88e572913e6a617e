"""Searching one's own messages."""
