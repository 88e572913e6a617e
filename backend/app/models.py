"""Imports every domain's models, so that `Base.metadata` is complete."""

from sqlalchemy.orm import configure_mappers

from app.auth import models as auth
from app.db.base import Base

__all__ = ["Base", "auth"]

configure_mappers()  # at once: a snapshot of a row can be read only then
