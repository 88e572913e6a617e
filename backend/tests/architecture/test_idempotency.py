"""Every operation that makes something can be repeated safely, or has its reason why not."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from app.auth.dependencies import forbid_storing
from app.idempotency.dependencies import KEY_HEADER, get_once
from tests.architecture.test_access import dependants, endpoints
from tests.support import answers_of

_SECRET = "its answer holds a secret, which is not kept; a lost one can be seen in the list, and revoked"
_ONE_TIME = "the token of the mail works once"
_STATE = "says what is to be so; to say it again changes nothing"
_ANSWERS = "only answers"
_MAIL = "sends a mail, at most so many in a while"

# Operations that make something and take no `Idempotency-Key`.
WITHOUT_KEY = {
    "register": "nobody owns the key yet; a repetition is refused because the address is taken",
    "create_guest": "nobody owns the key yet; a guest whose token was lost costs a row and is pruned",
    "create_my_token": _SECRET,
    "create_service_secret": _SECRET,
    "login": "nobody owns the key yet, and its answer is a secret; a lost session can be seen in the list, and ended",
    "create_token": "see `login`",
}

# All others that take none.
MAKES_NOTHING = {
    "change_password": "asks for the present password, which is another one afterwards",
    "refresh": "has a rule of its own for repetitions: a refresh token may be used twice within seconds",
    "logout": _STATE,
    "revoke_token": _STATE,
    "introspect_token": _ANSWERS,
    "forgot_password": _MAIL,
    "reset_password": _ONE_TIME,
    "secure_account": _ONE_TIME,
    "send_password_reset": _MAIL,
    "verify_email": _ONE_TIME,
    "resend_verification": _MAIL,
    "change_email": _MAIL,
    "confirm_email_change": _ONE_TIME,
    "undo_email_change": _ONE_TIME,
    "disable_user": _STATE,
    "enable_user": _STATE,
    "claim_guest": _STATE,
    "claim_conversations": _STATE,
    "rotate_keys": "a second rotation does no harm, and old keys go by themselves",
    "undo_preference_change": "puts a value back; to do it again puts the same one",
    "cancel_response": _STATE,
    "open_shared": _ANSWERS,
    "load_prices": "a price is its pattern, unit and date: the same ones again add nothing",
    "requeue_job": _STATE,
}
# What is shown once is not kept for a repetition: their key stands for the thing, by `Once.name`.
NAMED_WITHOUT_SECRET = {"create_share"}


def posts(app: FastAPI) -> Iterator[tuple[str, dict[str, Any]]]:
    """Id and description of every POST."""
    for item in app.openapi()["paths"].values():
        for method, operation in item.items():
            if method == "post":
                yield operation["operationId"], operation


def test_every_post_takes_a_key_or_has_a_reason(app: FastAPI) -> None:
    without = {name for name, operation in posts(app) if KEY_HEADER not in headers_of(operation)}
    assert without == {*WITHOUT_KEY, *MAKES_NOTHING}
    assert not {name for name, operation in posts(app) if "201" in operation["responses"]} & set(MAKES_NOTHING)


def test_only_what_may_be_stored_is_kept(app: FastAPI) -> None:
    """Answers with secrets are marked by `forbid_storing`, and we do not store them either."""
    for route in endpoints(app):
        calls = {dependant.call for dependant in dependants(route.dependant)}
        is_both = {get_once, forbid_storing} <= calls
        assert is_both == (route.endpoint.__name__ in NAMED_WITHOUT_SECRET), route.path


def test_an_operation_with_a_key_tells_how_it_refuses(app: FastAPI) -> None:
    found = [operation for _, operation in posts(app) if KEY_HEADER in headers_of(operation)]
    assert found
    for operation in found:
        answers = answers_of(app.openapi(), operation)
        assert "malformed_idempotency_key" in answers["400"]["description"]
        assert "idempotency_in_progress" in answers["409"]["description"]
        assert "idempotency_key_reused" in answers["422"]["description"]


def headers_of(operation: dict[str, Any]) -> set[str]:
    """The names of the headers that an operation takes."""
    return {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "header"}
