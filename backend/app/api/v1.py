"""Version 1 of the API: the routers of every domain."""

from fastapi import FastAPI

from app.auth import admin_router, router, users_router

PREFIX = "/api/v1"


def install_v1(app: FastAPI) -> None:
    """Include the routers, each at one level and the busiest first: FastAPI matches a request router by router."""
    for domain_router in (users_router.router, router.router, admin_router.router):
        app.include_router(domain_router, prefix=PREFIX)
