"""The refusals around roles and the changes of other accounts."""

from app.core.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError


class RoleNotFoundError(NotFoundError):
    """No such custom role."""

    code = "role_not_found"
    title = "No such role"


class RoleNameTakenError(ConflictError):
    """Another role, a built-in one perhaps, has this name."""

    code = "role_name_taken"
    title = "This name is taken"


class UnknownPermissionError(InvalidInputError):
    """The code declares no such permission."""

    code = "unknown_permission"
    title = "Unknown permission"


class UnknownRoleError(InvalidInputError):
    """A role to be given does not exist."""

    code = "unknown_role"
    title = "Unknown role"


class PermissionNotHeldError(ForbiddenError):
    """The change would give a permission that the caller, or the token used, does not have."""

    code = "permission_not_held"
    title = "You can only give permissions that you have"


class AccountProtectedError(ForbiddenError):
    """The account may do what the caller may not; administrators are changed and made by administrators only."""

    code = "account_protected"
    title = "This account has permissions that you do not have"
