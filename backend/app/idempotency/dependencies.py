"""What an endpoint takes that makes something: `OnceDep`, for clients that repeat a request whose answer they lost."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cache
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Header
from pydantic import BaseModel, SecretStr, TypeAdapter
from starlette.requests import Request as HttpRequest
from starlette.responses import Response

from app.core.problems import refuses
from app.db.http import etag
from app.db.session import SessionDep
from app.idempotency.errors import (
    AnswerNotKeptError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    MalformedIdempotencyKeyError,
)
from app.idempotency.models import MAX_KEY_LENGTH
from app.idempotency.service import IdempotencyService, fingerprint
from app.idempotency.types import Answer, Named, Request

KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotency-Replayed"
_HELP = (
    "A text of your choice, such as a UUID, that makes it safe to repeat the request: within 24 hours the same key and "
    "body get the first answer again, with `Idempotency-Replayed: true`, and nothing is done twice."
)
# A string of RFC 8941 as the draft of the header wants it, or what most clients send: the same without the quotes.
_KEY = re.compile(rf'"([!#-\[\]-~]{{1,{MAX_KEY_LENGTH}}})"|([!#-\[\]-~]{{1,{MAX_KEY_LENGTH}}})')

ResultT = TypeVar("ResultT")
Body = BaseModel | bytes | None


class Once:
    """Does what one request asks for once; without an `Idempotency-Key`, each time.

    The key counts for one owner and one operation. It is written in the request's transaction: what the endpoint makes
    must be in the same, so that services which commit in the middle cannot use `run`.
    """

    def __init__(self, request: HttpRequest, response: Response, keys: IdempotencyService, key: str | None) -> None:
        self._request = request
        self._response = response
        self._keys = keys
        self._key = key

    async def run(
        self,
        owner_id: UUID,
        body: Body,
        create: Callable[[], Awaitable[ResultT]],
        *,
        headers: Callable[[ResultT], Mapping[str, str]] | None = None,
    ) -> ResultT | Response:
        """What `create` makes, or the answer that the same request got before.

        `body` is the request's, as a model or in bytes. `headers` are those of the answer that tell of what was made;
        see `version_of`. The answer must hold no secret: it is kept for a day.

        Raises:
            IdempotencyKeyReusedError, IdempotencyInProgressError, AnswerNotKeptError: see `IdempotencyService.begin`.
        """
        if self._key is None:
            result = await create()
            self._response.headers.update({} if headers is None else headers(result))
            return result
        taken = await self._keys.begin(self._asked(owner_id, self._key, body))
        if isinstance(taken, Answer):
            return self._answer(taken, is_replayed=True)
        result = await create()
        route = self._request.scope["route"]
        answer = Answer(
            status=route.status_code or 200,
            headers={} if headers is None else dict(headers(result)),
            body=_rendered(Any if route.response_model is None else route.response_model, result),
        )
        await self._keys.finish(taken, answer)
        return self._answer(answer, is_replayed=False)

    async def name(self, owner_id: UUID, body: Body, proposed: UUID) -> Named:
        """The id under which this request makes its thing: `proposed` the first time, and the same ever after.

        For answers that are no fixed text, such as a stream: the endpoint then answers from the thing as it is now.

        Raises:
            IdempotencyKeyReusedError, IdempotencyInProgressError: see `IdempotencyService.name`.
        """
        if self._key is None:
            return Named(proposed, is_new=True)
        named = await self._keys.name(self._asked(owner_id, self._key, body), proposed)
        if not named.is_new:
            self._response.headers[REPLAYED_HEADER] = "true"
        return named

    def _asked(self, owner_id: UUID, key: str, body: Body) -> Request:
        """What the key is to stand for."""
        http = self._request
        secret: SecretStr = http.app.state.merit.settings.secret_key
        place = (http.method, http.url.path, http.url.query)
        return Request(owner_id, http.scope["endpoint"].__name__, key, fingerprint(secret, place, body))

    def _answer(self, answer: Answer, *, is_replayed: bool) -> Response:
        """The answer itself. FastAPI adds no headers of dependencies to it."""
        headers = {**self._response.headers, **answer.headers, **({REPLAYED_HEADER: "true"} if is_replayed else {})}
        return Response(answer.body, answer.status, headers, media_type="application/json")


def version_of(row: Any) -> dict[str, str]:
    """The `ETag` of something with a `row_version`, for `Once.run`."""
    return {"ETag": etag(row.row_version)}


def _parsed(text: str) -> str:
    match = _KEY.fullmatch(text.strip())
    if match is None:
        raise MalformedIdempotencyKeyError(f"Send 1 to {MAX_KEY_LENGTH} visible ASCII characters.")
    return match[1] or match[2]


@cache
def _adapter(model: Any) -> TypeAdapter[Any]:
    return TypeAdapter(model)


def _rendered(model: Any, result: object) -> bytes:
    """The body that FastAPI would make of an endpoint's result."""
    adapter = _adapter(model)
    return adapter.dump_json(adapter.validate_python(result, from_attributes=True), by_alias=True)


async def _in_turn(request: HttpRequest) -> AsyncIterator[None]:
    """Let only one request of a caller with a key wait in the database: others of this process wait for that one.

    There each takes a connection.
    """
    key = request.headers.get(KEY_HEADER)
    if key is None:
        yield
        return
    caller = (request.headers.get("authorization"), request.headers.get("guest-token"))
    async with request.app.state.merit.idempotency_turns.take((request.scope["endpoint"], caller, key)):
        yield


@refuses(
    MalformedIdempotencyKeyError,
    IdempotencyKeyReusedError,
    IdempotencyInProgressError,
    AnswerNotKeptError,
)
async def get_once(
    request: HttpRequest,
    response: Response,
    _turn: Annotated[None, Depends(_in_turn, scope="function")],
    session: SessionDep,
    key: Annotated[str | None, Header(alias=KEY_HEADER, description=_HELP)] = None,
) -> Once:
    """What makes this request happen once.

    Raises:
        MalformedIdempotencyKeyError: the key cannot be used, or there are several.
    """
    if len(request.headers.getlist(KEY_HEADER)) > 1:
        raise MalformedIdempotencyKeyError("Send one Idempotency-Key header.")
    clock = request.app.state.merit.clock
    return Once(request, response, IdempotencyService(session, clock), None if key is None else _parsed(key))


OnceDep = Annotated[Once, Depends(get_once)]
