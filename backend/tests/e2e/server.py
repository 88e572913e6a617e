"""The real server of the end-to-end tests; drills use the same."""

from tools.programs import BACKEND
from tools.server import LiveServer, free_port, service_environment, serving

__all__ = ["BACKEND", "LiveServer", "free_port", "service_environment", "serving"]
