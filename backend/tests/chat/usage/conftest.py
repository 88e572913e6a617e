"""A server with a provider, for what whole requests use."""

from tests.chat.responses.conftest import caller, live_app, provider

__all__ = ["caller", "live_app", "provider"]
