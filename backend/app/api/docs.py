"""The pages that show the API: Swagger UI at /docs, ReDoc at /redoc, and /openapi.json behind both.

Everything they load comes from this service, so that they work without internet. The bundles are those of the package
`fastapi-offline` (Swagger UI 5, ReDoc 2); the pages around them stand in `pages/`.
"""

import hashlib
from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

import orjson
from fastapi import FastAPI, Request, Response

from app.core.settings import Settings

# Both pages style elements with inline rules; ReDoc searches in a worker made from a blob.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; worker-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_PAGES = files("app.api") / "pages"
_BUNDLES = files("fastapi_offline") / "static"

_HTML = "text/html"
_JAVASCRIPT = "text/javascript"

# ReDoc fetches its maker's logo from another host; an unreadable image makes it leave the logo out.
_REDOC_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
_NO_IMAGE = b"data:,"


def install_docs(app: FastAPI, settings: Settings) -> None:
    """Serve the pages, their assets and the document; with `DOCS=off` none of these paths exists."""
    if not settings.docs_enabled:
        return
    routes: list[tuple[str, Callable[[], bytes], str]] = [
        ("/openapi.json", lambda: orjson.dumps(app.openapi()), "application/json"),
        ("/docs", (_PAGES / "swagger.html").read_bytes, _HTML),
        ("/docs/swagger.js", (_PAGES / "swagger.js").read_bytes, _JAVASCRIPT),
        ("/docs/swagger-ui.css", (_BUNDLES / "swagger-ui.css").read_bytes, "text/css"),
        ("/docs/swagger-ui-bundle.js", (_BUNDLES / "swagger-ui-bundle.js").read_bytes, _JAVASCRIPT),
        ("/docs/favicon.svg", (_PAGES / "favicon.svg").read_bytes, "image/svg+xml"),
        ("/redoc", (_PAGES / "redoc.html").read_bytes, _HTML),
        ("/docs/redoc.js", (_PAGES / "redoc.js").read_bytes, _JAVASCRIPT),
        ("/docs/redoc.standalone.js", _read_redoc, _JAVASCRIPT),
    ]
    for path, read, media_type in routes:
        app.add_route(path, _serve(read, media_type), include_in_schema=False)


def _read_redoc() -> bytes:
    return (_BUNDLES / "redoc.standalone.js").read_bytes().replace(_REDOC_LOGO, _NO_IMAGE)


def _serve(read: Callable[[], bytes], media_type: str) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint for content that stays the same while the process lives; a browser revalidates it by its ETag."""

    @cache
    def load() -> tuple[bytes, str]:
        content = read()
        return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    async def endpoint(request: Request) -> Response:
        content, etag = load()
        headers = {"ETag": etag, "Cache-Control": "no-cache", "Content-Security-Policy": CONTENT_SECURITY_POLICY}
        if request.headers.get("If-None-Match") == etag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    return endpoint
