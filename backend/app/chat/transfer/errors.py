"""The refusals around imports and exports."""

from app.core.errors import AppError, BadRequestError, ConflictError, NotFoundError


class ImportNotFoundError(NotFoundError):
    """No such import, or not one of the caller's."""

    code = "import_not_found"
    title = "No such import"


class TooManyImportsError(ConflictError):
    """As many files of the account wait to be imported as may wait."""

    code = "too_many_imports"
    title = "Too many imports"


class ImportTooLargeError(AppError):
    """The file has more bytes than an import may have (RFC 9110 section 15.5.14)."""

    code = "import_too_large"
    status_code = 413
    title = "The file is too large"


class NoFileError(BadRequestError):
    """The form has no file, or more than one."""

    code = "no_file"
    title = "Send one file"
