"""An ordinary service: FastAPI and SQLAlchemy as most tutorials put them together.

One session dependency that commits after the endpoint, pre-ping on every checkout, ORM objects turned into responses by
`response_model`, a JWT decoded on every request, bcrypt called in the endpoint, request logging in a
`BaseHTTPMiddleware`, and lists by offset with a total.
"""

import logging
import os
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.security import OAuth2PasswordBearer
from jose import JWTError, jwt
from passlib.context import CryptContext
from pydantic import BaseModel, ConfigDict, EmailStr
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.middleware.base import BaseHTTPMiddleware

_SECRET = os.environ["BENCH_SECRET"]
_ALGORITHM = "HS256"

logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
logger = logging.getLogger("plain")

engine = create_async_engine(
    make_url(os.environ["BENCH_DATABASE_URL"]).set(drivername="postgresql+asyncpg"), pool_pre_ping=True
)
SessionLocal = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
pwd_context = CryptContext(schemes=["bcrypt"], deprecated="auto")
oauth2_scheme = OAuth2PasswordBearer(tokenUrl="/api/v1/auth/token")


class Base(DeclarativeBase):
    """Declarative base."""


class User(Base):
    """A row of `users`."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True, index=True)
    username: Mapped[str | None] = mapped_column(unique=True, index=True)
    hashed_password: Mapped[str]
    is_active: Mapped[bool]
    is_superuser: Mapped[bool]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class UserOut(BaseModel):
    """A user in a response."""

    model_config = ConfigDict(from_attributes=True)
    id: int
    email: EmailStr
    username: str | None = None
    is_active: bool
    is_superuser: bool
    created_at: datetime
    updated_at: datetime


class UserPage(BaseModel):
    """A page by offset, with the total."""

    items: list[UserOut]
    total: int


class LoginRequest(BaseModel):
    """Body of a login."""

    email: EmailStr
    password: str


class Token(BaseModel):
    """Answer to a login."""

    access_token: str
    refresh_token: str
    token_type: str = "bearer"  # noqa: S105 - the token's type, not a secret


async def get_db() -> AsyncGenerator[AsyncSession]:
    """One session a request, committed after the endpoint."""
    async with SessionLocal() as session:
        try:
            yield session
            await session.commit()
        except Exception:
            await session.rollback()
            raise
        finally:
            await session.close()


class UserRepository:
    """Reads of `users`."""

    async def get(self, db: AsyncSession, user_id: int) -> User | None:
        """The user with this id."""
        result = await db.execute(select(User).where(User.id == user_id))
        return result.scalar_one_or_none()

    async def get_by_email(self, db: AsyncSession, email: str) -> User | None:
        """The user with this address."""
        result = await db.execute(select(User).where(User.email == email))
        return result.scalar_one_or_none()

    async def get_page(self, db: AsyncSession, skip: int, limit: int) -> tuple[list[User], int]:
        """`limit` users after the first `skip`, and how many there are."""
        total = await db.execute(select(func.count()).select_from(User))
        result = await db.execute(select(User).order_by(User.id).offset(skip).limit(limit))
        return list(result.scalars().all()), total.scalar_one()


user_repo = UserRepository()


def create_token(user_id: int, lifetime: timedelta) -> str:
    """A signed token for this user."""
    claims = {"exp": datetime.now(UTC) + lifetime, "sub": str(user_id)}
    return str(jwt.encode(claims, _SECRET, algorithm=_ALGORITHM))


async def get_current_user(
    db: Annotated[AsyncSession, Depends(get_db)], token: Annotated[str, Depends(oauth2_scheme)]
) -> User:
    """The user a token was issued to."""
    try:
        user_id = int(jwt.decode(token, _SECRET, algorithms=[_ALGORITHM])["sub"])
    except (JWTError, KeyError, ValueError) as error:
        raise HTTPException(status_code=401, detail="Could not validate credentials") from error
    user = await user_repo.get(db, user_id)
    if user is None:
        raise HTTPException(status_code=401, detail="Could not validate credentials")
    return user


async def get_current_active_user(user: Annotated[User, Depends(get_current_user)]) -> User:
    """The current user, refused when disabled."""
    if not user.is_active:
        raise HTTPException(status_code=400, detail="Inactive user")
    return user


async def get_current_superuser(user: Annotated[User, Depends(get_current_active_user)]) -> User:
    """The current user, refused without the right."""
    if not user.is_superuser:
        raise HTTPException(status_code=403, detail="Not enough privileges")
    return user


class RequestLogging(BaseHTTPMiddleware):
    """One line a request."""

    async def dispatch(self, request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        """Times the request and logs it."""
        started = time.perf_counter()
        response = await call_next(request)
        elapsed = (time.perf_counter() - started) * 1000
        logger.info("%s %s %d %.1f ms", request.method, request.url.path, response.status_code, elapsed)
        return response


app = FastAPI()
app.add_middleware(RequestLogging)


@app.get("/health/live")
async def live() -> dict[str, str]:
    """200 once the server answers."""
    return {"status": "ok"}


@app.post("/api/v1/auth/login", response_model=Token)
async def login(body: LoginRequest, db: Annotated[AsyncSession, Depends(get_db)]) -> Token:
    """Checks the password and issues a pair of tokens."""
    user = await user_repo.get_by_email(db, body.email)
    if user is None or not pwd_context.verify(body.password, user.hashed_password):
        raise HTTPException(status_code=401, detail="Incorrect email or password")
    return Token(
        access_token=create_token(user.id, timedelta(minutes=30)),
        refresh_token=create_token(user.id, timedelta(days=7)),
    )


@app.get("/api/v1/users/me", response_model=UserOut)
async def read_me(user: Annotated[User, Depends(get_current_active_user)]) -> User:
    """The current user."""
    return user


@app.get("/api/v1/admin/users", response_model=UserPage, dependencies=[Depends(get_current_superuser)])
async def read_users(
    db: Annotated[AsyncSession, Depends(get_db)],
    skip: int = 0,
    limit: int = 20,
) -> UserPage:
    """A page of users by offset."""
    users, total = await user_repo.get_page(db, skip, limit)
    return UserPage(items=[UserOut.model_validate(user) for user in users], total=total)
