"""What the operations of imports need to be there before, for the tests that look at every operation."""

from tests.chat.operations import Ids, Options, conversation_of
from tests.chat.transfer.files import chatgpt, upload
from tests.support import Account

FILE: Options = {"files": {"file": ("conversations.json", b"[]")}}


async def import_of(account: Account) -> Ids:
    """An import that waits."""
    answer = await upload(account, [chatgpt()])
    assert answer.is_success, answer.text
    return {"import_id": answer.json()["id"]}


async def _create_import(_account: Account) -> tuple[Ids, Options]:
    return {}, FILE


OWNED = {
    "/api/v1/imports/{import_id}": import_of,
    "/api/v1/conversations/{conversation_id}/export": conversation_of,
}
UNAUDITED = {"create_import": _create_import}
