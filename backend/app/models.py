"""Imports every domain's models, so that `Base.metadata` is complete."""

from sqlalchemy.orm import configure_mappers

from app.auth import models as auth
from app.auth.audit import models as audit
from app.auth.guests import models as guests
from app.auth.one_time_tokens import models as one_time_tokens
from app.auth.personal_tokens import models as personal_tokens
from app.auth.roles import models as roles
from app.auth.service_accounts import models as service_accounts
from app.chat import models as chat
from app.chat.responses import models as responses
from app.chat.sharing import models as shares
from app.chat.transfer import models as transfer
from app.chat.usage import models as usage
from app.db.base import Base
from app.idempotency import models as idempotency
from app.jobs import models as jobs
from app.metrics import models as metrics
from app.preferences import models as preferences
from app.search import models as search

__all__ = [
    "Base",
    "audit",
    "auth",
    "chat",
    "guests",
    "idempotency",
    "jobs",
    "metrics",
    "one_time_tokens",
    "personal_tokens",
    "preferences",
    "responses",
    "roles",
    "search",
    "service_accounts",
    "shares",
    "transfer",
    "usage",
]

configure_mappers()  # at once: a snapshot of a row can be read only then
