"""Version 1 of the API: the routers of every domain."""

from fastapi import APIRouter

from app.api import jobs_router
from app.auth import admin_router, router, users_router
from app.auth.audit import router as audit
from app.auth.email_addresses import router as email_addresses
from app.auth.guests import router as guests
from app.auth.invitations import router as invitations
from app.auth.keys import router as keys
from app.auth.personal_tokens import router as personal_tokens
from app.auth.recovery import router as recovery
from app.auth.registration import router as registration
from app.auth.roles import router as roles
from app.auth.service_accounts import router as service_accounts
from app.auth.token_endpoints import router as token_endpoints
from app.chat import router as conversations
from app.chat.feedback import router as feedback
from app.chat.folders import router as folders
from app.chat.history import router as history
from app.chat.responses import router as replies
from app.chat.search import router as search
from app.chat.sharing import router as shares
from app.chat.transfer import router as transfer
from app.chat.usage import admin_router as usage_admin
from app.chat.usage import router as usage
from app.metrics import dashboard_router as dashboard
from app.metrics import router as metrics
from app.preferences import router as preferences

ROUTERS: tuple[APIRouter, ...] = (
    users_router.router,
    router.router,
    token_endpoints.router,
    registration.router,
    recovery.router,
    email_addresses.router,
    admin_router.router,
    audit.own_router,
    audit.router,
    guests.router,
    invitations.router,
    keys.router,
    personal_tokens.router,
    personal_tokens.admin_router,
    preferences.router,
    conversations.router,
    conversations.messages_router,
    feedback.router,
    replies.router,
    search.router,
    folders.router,
    history.router,
    roles.router,
    service_accounts.router,
    shares.router,
    transfer.router,
    usage.router,
    usage_admin.router,
    jobs_router.router,
    dashboard.router,
    metrics.router,
)
"""The busiest first: FastAPI matches a request route by route."""
