"""Requests generated from the API's own description, against a real server."""
