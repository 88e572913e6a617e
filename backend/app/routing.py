"""Routers, and how an application serves them.

A router that FastAPI includes is built a second time, with all that its routes depend on, and is looked through twice
at each request. Here a router knows its whole prefix, and the application takes its routes as they are.
"""

from enum import Enum

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

API_PREFIX = "/api/v1"


def operation_id(route: APIRoute) -> str:
    """The name of an operation in generated clients: that of its function."""
    return route.name


def root_router(prefix: str = "", *, tags: list[str | Enum] | None = None, include_in_schema: bool = True) -> APIRouter:
    """A router whose paths begin with `prefix`."""
    return APIRouter(
        prefix=prefix, tags=tags, include_in_schema=include_in_schema, generate_unique_id_function=operation_id
    )


def api_router(prefix: str = "", *, tags: list[str | Enum] | None = None) -> APIRouter:
    """A router whose paths begin with that of this version of the API and `prefix`."""
    return root_router(API_PREFIX + prefix, tags=tags)


def serve(app: FastAPI, *routers: APIRouter) -> None:
    """Let `app` serve the routes of the routers, which it matches in this order: the busiest come first.

    Every route must be there: one that a router gets later is not served.
    """
    for router in routers:
        app.router.routes.extend(router.routes)
