"""Folders of conversations."""
