"""The bounds of folders."""

MAX_FOLDER_DEPTH = 8
"""How many folders lie above each other at most, the outermost counted."""
