"""The refusals under `/.well-known/`."""

from app.core.errors import NotFoundError


class NotPublishedError(NotFoundError):
    """A setting that the document needs is empty."""

    code = "not_published"
    title = "Not published"
