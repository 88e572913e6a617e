"""The HTTP side of the service: routers, problems, middleware, health, documentation pages, the server process."""
