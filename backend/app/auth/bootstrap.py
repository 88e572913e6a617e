"""The first administrator."""

from enum import StrEnum

from sqlalchemy.exc import IntegrityError

from app.auth.audit import AuditTrail
from app.auth.components import AuthComponents
from app.auth.models import User
from app.auth.one_time_tokens.service import OneTimeTokens
from app.auth.one_time_tokens.types import TokenPurpose
from app.auth.personal_tokens.service import PersonalTokenService
from app.auth.registration.service import RegistrationService
from app.auth.repository import UserRepository
from app.auth.sessions import SessionManager
from app.auth.types import AuditAction, Client, Role, SessionEndReason
from app.core.errors import ConflictError, InvalidInputError
from app.core.text import require_email
from app.db.engine import Database, Session
from app.db.repository import Values

# Passwords that examples of this and of earlier systems show; the policy's list of common ones knows many more.
EXAMPLE_PASSWORDS = frozenset(
    {"admin123", "changethis", "correct horse battery", "correct horse battery staple", "three green bicycles"}
)
_DEFAULT_NAMES = frozenset({"admin@example.com", "admin@example.org", "admin@papa.com", "root@example.com"})


class AdminOutcome(StrEnum):
    """What `create_admin` did."""

    CREATED = "created"
    PROMOTED = "promoted"
    ALREADY_THERE = "already there"


class AdminExistsError(ConflictError):
    """Someone else administers the service already; another one is made only on purpose."""

    code = "admin_exists"
    title = "There is an administrator already; --force makes a further one"


class AddressTakenError(ConflictError):
    """An ordinary account has the address; whoever registered it need not be its owner."""

    code = "address_taken"
    title = "An ordinary account has this address; --force gives it this password, ends its sessions and promotes it"


class ExampleCredentialsError(InvalidInputError):
    """The address or password comes from an example."""

    code = "example_credentials"
    title = "This address or password comes from an example"


async def create_admin(
    database: Database, components: AuthComponents, *, email: str, password: str, is_forced: bool = False
) -> AdminOutcome:
    """Make an administrator with all rights, or find that it is there.

    Running it again changes nothing, the password least of all. `is_forced` makes a further administrator where there
    is one, and promotes an account that exists: with the new password and without its sessions, because anyone may have
    registered the address.

    Raises:
        AdminExistsError, AddressTakenError: someone else is administrator or has the address, and it is not forced.
        WeakPasswordError, ExampleCredentialsError, InvalidInputError: the address or password is refused.
    """
    try:
        email = require_email(email)
    except ValueError as error:
        raise InvalidInputError(f"E-mail address: {error}") from None
    try:
        return await _create_or_find(database, components, email=email, password=password, is_forced=is_forced)
    except IntegrityError:  # another process made the account in this moment
        return await _create_or_find(database, components, email=email, password=password, is_forced=is_forced)


async def has_admin(database: Database, components: AuthComponents) -> bool:
    """Whether anyone administers the service."""
    async with database.read_session() as session:
        return await UserRepository(session, components.clock).has_admin()


async def _create_or_find(
    database: Database, components: AuthComponents, *, email: str, password: str, is_forced: bool
) -> AdminOutcome:
    async with database.session() as session:
        users = UserRepository(session, components.clock)
        is_administered = await users.has_admin()  # first: whoever comes in between is found by name
        user = await users.get_by_login(email)
        if user is not None and user.is_active and user.is_superuser:
            return AdminOutcome.ALREADY_THERE
        if not is_forced and (user is not None or is_administered):
            raise AdminExistsError if is_administered else AddressTakenError
        if password.casefold() in EXAMPLE_PASSWORDS | _DEFAULT_NAMES or email.casefold() in _DEFAULT_NAMES:
            raise ExampleCredentialsError("Choose an address and a password of your own.")
        await session.commit()  # commit: nothing is held while the password is hashed
        if user is not None:
            await _promote(session, components, user, email, password)
            outcome, user_id = AdminOutcome.PROMOTED, user.id
        else:
            registration = RegistrationService(session, components)
            created = await registration.create_user(email=email, password=password, role=Role.ADMIN, is_superuser=True)
            outcome, user_id = AdminOutcome.CREATED, created.id
        await AuditTrail(session, components).record(
            AuditAction.ADMIN_CREATED, Client(), user_id=user_id, detail={"how": outcome.value}
        )
        await session.commit()  # commit: no request's dependency does it
        return outcome


async def _promote(session: Session, components: AuthComponents, user: User, email: str, password: str) -> None:
    """Make an account the operator's: whoever had it may read the mailbox of another spelling of the address."""
    components.policy.check(password, email=user.email, username=user.username)
    await components.breached_passwords.refuse(password)
    values: Values = {
        User.email: email,
        User.hashed_password: await components.hasher.hash(password),
        User.role: Role.ADMIN,
        User.is_superuser: True,
        User.is_active: True,
        User.auth_version: User.auth_version + 1,
    }
    await UserRepository(session, components.clock).update(user.id, values)
    await components.revocations.revoke_versions_below(session, user.id, user.auth_version + 1)
    reason = SessionEndReason.PASSWORD_CHANGED
    await SessionManager(session, components).end_all(user.id, reason, Client())
    await PersonalTokenService(session, components).revoke_all(user.id, Client(), reason)
    tokens = OneTimeTokens(session, components)
    await tokens.revoke_credential_changes(user)
    await tokens.revoke_of_user(user.id, TokenPurpose.UNDO_EMAIL_CHANGE)
