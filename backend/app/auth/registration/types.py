"""Values of registration."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Registrant:
    """Someone who asks for an account. `invitation` is a link's token; without `email` the invited one is meant.

    What the guest with `guest_token` made becomes the account's, if it is made at once.
    """

    email: str | None
    password: str = field(repr=False)
    username: str | None = None
    full_name: str | None = None
    invitation: str | None = field(default=None, repr=False)
    guest_token: str | None = field(default=None, repr=False)
