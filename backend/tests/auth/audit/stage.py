"""What the requests of `test_every_operation` are made with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert

from app.auth.types import AuditAction
from app.core.ids import new_id
from app.jobs.models import Job
from app.jobs.types import JobStatus
from app.main import Services
from tests.auth.credentials import make_service
from tests.db.rows import row_of
from tests.mailbox import Mailbox
from tests.support import Account


@dataclass
class Request:
    """A request that will succeed, and the event that it must leave."""

    action: AuditAction | None
    path: dict[str, str] = field(default_factory=dict)
    by: Account | None = None
    options: dict[str, Any] = field(default_factory=dict)


class Stage:
    """What the operations need to be there before."""

    def __init__(self, services: Services, account: Account, admin: Account, mailbox: Mailbox) -> None:
        self.services = services
        self.account = account
        self.admin = admin
        self.mailbox = mailbox
        self.user = {"user_id": account.id}

    async def made(self, path: str, body: dict[str, Any]) -> str:
        """The id of a thing that an administrator makes."""
        answer = await self.admin.request("POST", path, json=body)
        assert answer.is_success, answer.text
        return str(answer.json()["id"])

    async def role(self) -> dict[str, str]:
        return {"role_id": await self.made("/admin/roles", {"name": "Helpers", "permissions": ["users:read"]})}

    async def service(self) -> dict[str, str]:
        return {"service_id": (await make_service(self.admin)).json()["id"]}

    async def preference(self) -> dict[str, str]:
        """The key of a preference that is set, the number of that change, and a device that has it set too."""
        device_id = str(new_id())
        path, body = "/preferences", {"language": "en"}
        await self.account.request("PATCH", path, params={"device_id": device_id}, json=body)
        answer = await self.account.request("PATCH", path, json=body)
        return {"key": "language", "seq": str(answer.json()["seq"]), "device_id": device_id}

    async def dead_job(self) -> dict[str, str]:
        row = row_of(Job.__table__, 1) | {"status": JobStatus.DEAD}
        async with self.services.database.writer.begin() as connection:
            await connection.execute(insert(Job), [row])
        return {"job_id": str(row["id"])}


Prepare = Callable[[Stage], Awaitable[Request]]
PREPARED: dict[str, Prepare] = {}


def operation(prepare: Prepare) -> Prepare:
    """Register what prepares the operation of this name."""
    PREPARED[prepare.__name__] = prepare
    return prepare
