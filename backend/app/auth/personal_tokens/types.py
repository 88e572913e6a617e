"""Bounds of personal access tokens."""

MAX_TOKEN_NAME_LENGTH = 100
