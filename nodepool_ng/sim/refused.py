"""The one exception of the model: a call that the cloud refuses."""

from __future__ import annotations


class Refused(Exception):
    """The cloud answers with an error.

    status: the HTTP status. retry_after: seconds, only with 429 and 503.
    """

    def __init__(self, status: int, message: str, retry_after: int | None = None) -> None:
        super().__init__(status, message, retry_after)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.status}: {self.message}"


def not_found(kind: str, name: str) -> Refused:
    """Return the refusal for something that does not exist, or not for this project."""
    return Refused(404, f"{kind} {name} could not be found.")
