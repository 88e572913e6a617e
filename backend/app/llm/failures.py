"""What the exceptions of the SDK and of HTTP mean."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import openai

from app.llm.errors import ProviderError, clean_detail
from app.llm.transport import OversizeError
from app.llm.types import Fault

MAX_RETRY_AFTER_SECONDS = 300.0

_FAULTS = {
    400: Fault.REFUSED,
    401: Fault.UNAUTHORIZED,
    402: Fault.UNAUTHORIZED,
    403: Fault.UNAUTHORIZED,
    404: Fault.MODEL_UNKNOWN,
    408: Fault.TIMEOUT,
    413: Fault.REFUSED,
    422: Fault.REFUSED,
    429: Fault.RATE_LIMITED,
}
_DETAILS = {
    Fault.CONNECTION: "The connection failed.",
    Fault.MALFORMED: "The answer is malformed.",
    Fault.TIMEOUT: "No answer in time.",
    Fault.TOO_LONG: "The answer is longer than replies may be.",
}


def failure_of(error: Exception, now: datetime, api_key: str) -> ProviderError:
    """The failure that an exception stands for. Only refusals of the request itself tell what the provider said."""
    if isinstance(error, openai.APIStatusError):
        return _refusal(error, now, api_key)
    fault = _fault_of(error)
    return ProviderError(fault, _DETAILS.get(fault, "The provider reports an error."))


def _fault_of(error: Exception) -> Fault:
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return Fault.TIMEOUT
    if isinstance(error, openai.APIConnectionError):
        return Fault.TOO_LONG if isinstance(error.__cause__, OversizeError) else Fault.CONNECTION
    if isinstance(error, OversizeError):
        return Fault.TOO_LONG
    if isinstance(error, ValueError | RecursionError | openai.APIResponseValidationError):
        return Fault.MALFORMED
    return Fault.SERVER_ERROR if isinstance(error, openai.APIError) else Fault.CONNECTION


def _refusal(error: openai.APIStatusError, now: datetime, api_key: str) -> ProviderError:
    status = error.status_code
    fault = _FAULTS.get(status, Fault.SERVER_ERROR if status >= 400 else Fault.MALFORMED)
    detail = f"The provider answered {status}."
    if fault is Fault.REFUSED and (message := _message_of(error.body)):
        detail = clean_detail(message, api_key)
    wish = parse_retry_after(error.response.headers.get("retry-after"), now)
    return ProviderError(fault, detail, retry_after_seconds=wish)


def _message_of(body: Any) -> str:
    message = body.get("message") if isinstance(body, dict) else None
    return message if isinstance(message, str) else ""


def parse_retry_after(text: str | None, now: datetime) -> float | None:
    """Seconds of a `Retry-After` (RFC 9110 section 10.2.3), at most five minutes; None where it says nothing usable."""
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds()
    if not seconds >= 0:  # neither a time that has passed nor `nan`
        return None
    return min(seconds, MAX_RETRY_AFTER_SECONDS)
