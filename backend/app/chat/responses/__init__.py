"""Replies of models: generated, stored, streamed, resumed."""
