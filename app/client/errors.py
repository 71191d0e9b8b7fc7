"""The two ways in which a call can fail."""

from typing import Any


class Refused(Exception):
    """The exchange answered with a problem (RFC 9457); `code` is what programs switch on."""

    retry_after: str | None = None

    def __init__(self, call: str, status: int, problem: dict[str, Any]) -> None:
        self.call = call
        self.status = status
        self.problem = problem
        self.code = str(problem.get("code", "http_error"))
        self.detail = str(problem.get("detail", ""))
        super().__init__(f"{call}: {status} {self.code}: {self.detail}")

    @property
    def errors(self) -> list[dict[str, str]]:
        """The fields at fault: `pointer`, `code`, `message`."""
        return list(self.problem.get("errors") or [])

    @property
    def request_id(self) -> str | None:
        """What to name when asking the operator about the call."""
        return self.problem.get("request_id")

    @property
    def extra(self) -> dict[str, Any]:
        """What this kind of problem tells beside: `state`, `lines` …"""
        return {k: v for k, v in self.problem.items() if k not in _MEMBERS}


_MEMBERS = frozenset({"type", "title", "status", "detail", "code", "errors", "request_id"})


class Unreachable(Exception):
    """No answer within the time of patience; `cause` tells what came of the last attempt.

    Whether the call had its effect is not known. Repeating it with the same Idempotency-Key (`key`)
    is safe for seven days.
    """

    def __init__(self, call: str, cause: str, key: str | None = None) -> None:
        self.call = call
        self.cause = cause
        self.key = key
        super().__init__(f"{call}: {cause}")
