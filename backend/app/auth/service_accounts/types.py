"""Bounds of service accounts."""

MAX_DESCRIPTION_LENGTH = 500
MAX_SERVICE_NAME_LENGTH = 100
