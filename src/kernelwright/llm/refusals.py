"""The seam where a provider's exceptions become ours: what happened, to which model, what to do.

Nothing above this module sees an exception of the library or of a provider's SDK.
"""

from __future__ import annotations

from pydantic_ai import exceptions as theirs

from kernelwright.llm.address import Address
from kernelwright.llm.retrying import Refusal

_KEY_VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "openai-chat": "OPENAI_API_KEY",
    "openai-responses": "OPENAI_API_KEY",
    "google": "GOOGLE_API_KEY",
    "bedrock": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "huggingface": "HF_TOKEN",
}
_RETRYABLE_STATUS = {408, 409, 425, 429}
_QUOTED = 300


def key_variable(provider: str) -> str:
    """The environment variable that holds the key of `provider`."""
    return _KEY_VARIABLES.get(provider, f"{provider.upper().replace('-', '_')}_API_KEY")


def refusal(error: Exception, address: Address, where: str) -> Refusal:
    """What `error` means for a call to the model at `address`, which is reached at `where`."""
    model = f"{address.provider}:{address.model}"
    retryable = _retryable(error)
    return Refusal(
        message=_sentence(error, address, model, where),
        retryable=retryable,
        retry_after_s=getattr(error, "retry_after", None) if retryable else None,
    )


def _retryable(error: Exception) -> bool:
    match error:
        case theirs.ModelQuotaExceededError() | theirs.ModelRequestRejectedError():
            return False
        case theirs.ModelRateLimitError() | theirs.ModelUnavailableError():
            return True
        case theirs.ModelServerError() | theirs.ModelConnectionError():
            return True
        case theirs.ModelHTTPError(status_code=status):
            return status >= 500 or status in _RETRYABLE_STATUS
        case theirs.ContentFilterError():
            return False
        case theirs.UnexpectedModelBehavior() | theirs.ModelAPIError():
            return True
        case _:
            return False


def _sentence(error: Exception, address: Address, model: str, where: str) -> str:
    said = _said(error)
    match error:
        case theirs.ModelAuthenticationError():
            # What the provider said is left out: it may quote a part of the key.
            variable = key_variable(address.provider)
            return f"{where} does not accept the key for {model}. Check {variable}."
        case theirs.ModelNotFoundError():
            near = getattr(error, "suggested_model_id", None)
            hint = f"Did you mean {near!r}?" if near else "Check its name and the address."
            return f"{where} knows no model called {address.model!r}. {hint}"
        case theirs.ModelQuotaExceededError():
            return f"The account for {model} has no credit or quota left: {said} Top it up."
        case theirs.ModelContextWindowExceededError():
            return f"The prompt does not fit into the context of {model}: {said}"
        case theirs.ModelRateLimitError():
            return f"{where} gets more requests for {model} than it takes: {said}"
        case theirs.ModelConnectionError():
            return f"{model} could not be reached at {where}: {said} Is the server running?"
        case theirs.ModelUnavailableError() | theirs.ModelServerError():
            return f"{where} failed to answer for {model}: {said}"
        case theirs.ModelRequestRejectedError():
            return f"{where} rejected the request to {model}: {said}"
        case theirs.ModelHTTPError(status_code=status):
            return f"{where} answered for {model} with HTTP status {status}: {said}"
        case theirs.UnexpectedModelBehavior() | theirs.ModelAPIError():
            return f"{where} sent a reply for {model} that cannot be read: {said}"
        case _:
            return f"The call to {model} at {where} failed: {type(error).__name__}: {said}"


def _said(error: Exception) -> str:
    """What the provider said, on one line and of bounded length, as a sentence."""
    body = getattr(error, "body", None)
    text = body.get("message") if isinstance(body, dict) else body
    if not isinstance(text, str) or not text.strip():
        text = str(error.__cause__ or error) or type(error).__name__
    line = " ".join(text.split())
    line = line if len(line) <= _QUOTED else line[:_QUOTED] + " […]"
    return line if line.endswith((".", "!", "?")) else f"{line}."
