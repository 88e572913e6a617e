"""`/admin/keys`: the signing keys, for administrators."""

from app.auth.dependencies import ClientDep
from app.auth.errors import KeysFollowFromSecretError, RotationUnderWayError
from app.auth.keys.dependencies import InteractiveKeysWriter, KeyServiceDep, KeysReader
from app.auth.keys.schemas import KeyRotateRequest, SigningKeysRead
from app.auth.keys.types import KeyView
from app.core.problems import error_responses
from app.routing import api_router

router = api_router("/admin/keys", tags=["admin"])


@router.get("", response_model=SigningKeysRead, summary="List signing keys")
async def list_keys(_actor: KeysReader, keys: KeyServiceDep) -> dict[str, list[KeyView]]:
    """The keys that sign access tokens or still verify them. None with HS256: that key follows from a secret."""
    return {"items": await keys.list_()}


@router.post(
    "/rotate",
    response_model=SigningKeysRead,
    summary="Rotate the signing keys",
    responses=error_responses(RotationUnderWayError, KeysFollowFromSecretError),
)
async def rotate_keys(
    actor: InteractiveKeysWriter, keys: KeyServiceDep, client: ClientDep, body: KeyRotateRequest | None = None
) -> dict[str, list[KeyView]]:
    """Publish a new key, which takes over by itself at its `changes_at`; nothing fails meanwhile.

    With `compromised` all keys end at once, and with them every access token, the caller's own too: clients refresh.
    """
    is_compromised = body is not None and body.compromised
    return {"items": await keys.rotate(actor.user_id, client, is_compromised=is_compromised)}
