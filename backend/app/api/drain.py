"""Whether the server is on its way out."""

from dataclasses import dataclass


@dataclass(slots=True)
class Drain:
    """Set when the server was told to stop: it still serves, but is not ready, and each answer closes its connection.

    The server hands it to the application as `scope["state"]["drain"]`.
    """

    is_draining: bool = False
