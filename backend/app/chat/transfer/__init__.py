"""Conversations from and to files."""
