"""What the endpoints of the gateway take in their signatures."""

from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from app.auth.guests.types import Owner
from app.chat.dependencies import ChatWriter
from app.chat.gateway.answers import CompletionAnswer
from app.chat.gateway.components import GatewayComponents
from app.chat.gateway.schemas import ChatCompletionRequest
from app.chat.gateway.service import GatewayService
from app.chat.responses.streams import drain_of
from app.core.ids import new_id
from app.db.session import SessionDep
from app.idempotency.dependencies import REPLAYED_HEADER, Once, OnceDep
from app.idempotency.types import Named


class GatewayDesk:
    """Answers requests for completions."""

    def __init__(
        self, request: Request, gateway: GatewayComponents, service: GatewayService, owner: Owner, once: Once
    ) -> None:
        self._request = request
        self._owner = owner
        self._once = once
        self._gateway = gateway
        self._service = service

    async def complete(self, asked: ChatCompletionRequest) -> CompletionAnswer:
        """Ask for a reply, and answer with it when the transaction is committed.

        With `store` once for one `Idempotency-Key`; without it nothing is made that a repetition could make twice.
        """
        parts = self._gateway.replies.parts
        named = Named(new_id(), is_new=True)
        if asked.store:
            named = await self._once.name(self._owner.id, asked, named.id)
        speech = await self._service.ask(asked, named, is_draining=drain_of(self._request))
        replayed = {} if named.is_new else {REPLAYED_HEADER: "true"}
        return CompletionAnswer(
            self._request,
            speech,
            is_stream=bool(asked.stream),
            wants_usage=asked.wants_usage,
            created=int(parts.clock.now().timestamp()),
            longest_seconds=parts.settings.reply_timeout_seconds,
            headers={**await self._service.headers(), **replayed},
        )


async def get_gateway(request: Request) -> GatewayComponents:
    """The parts of the gateway."""
    gateway: GatewayComponents = request.app.state.merit.gateway
    return gateway


GatewayDep = Annotated[GatewayComponents, Depends(get_gateway)]


async def get_gateway_desk(
    request: Request, owner: ChatWriter, session: SessionDep, gateway: GatewayDep, once: OnceDep
) -> GatewayDesk:
    """The desk of this request."""
    return GatewayDesk(request, gateway, GatewayService(session, gateway, owner), owner, once)


GatewayDeskDep = Annotated[GatewayDesk, Depends(get_gateway_desk)]
