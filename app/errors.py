"""AppError(code) becomes problem+json (RFC 9457); the registry of every code the exchange uses.

A rule that refuses says so by raising AppError with a code of this registry. Errors are always
raised, never returned: a returned 409 would commit the transaction that it refuses.
"""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi.responses import Response
from starlette.exceptions import HTTPException

from app.json_text import dump


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of error: its status, its title, what it means and what the caller can do."""

    status: int
    title: str
    meaning: str


CODES: dict[str, Problem] = {
    "unauthenticated": Problem(
        401,
        "No valid key",
        "Send `Authorization: Bearer <key>` with a key that is neither revoked nor expired. "
        "A key has a checksum: where the answer says that it is mistyped, copy it again.",
    ),
    "scope_missing": Problem(
        403,
        "The key lacks a scope",
        "The operation needs a scope that this client does not have. An admin of your society "
        "can create a client that has it.",
    ),
    "role_forbidden": Problem(
        403,
        "Not open to this society's role",
        "Master data is the secretariat's; observers read and do not take part.",
    ),
    "not_found": Problem(
        404,
        "Not found",
        "There is nothing at this address, or it is not yours to see; the two are not told apart.",
    ),
    "method_not_allowed": Problem(
        405,
        "Method not allowed",
        "The address exists, but not with this method; see `Allow`.",
    ),
    "idempotency_in_progress": Problem(
        409,
        "The first call is still running",
        "A call with the same Idempotency-Key has not ended yet. Repeat after `Retry-After`.",
    ),
    "wrong_state": Problem(
        409,
        "The present state does not allow this",
        "`state` tells the state that the object is in. Read it again and decide anew.",
    ),
    "insufficient_stock": Problem(
        409,
        "Not enough stock is available",
        "`lines` names each line at fault and what is available for it at this moment. Nothing "
        "was reserved. Offer less, or from another lot.",
    ),
    "insufficient_volunteers": Problem(
        409,
        "Not enough volunteers are available",
        "`lines` names each line at fault and how many people the pool can still promise for the "
        "whole window of the request line. Nothing was reserved.",
    ),
    "over_accepted": Problem(
        409,
        "More than is outstanding",
        "Accepting this would exceed what was requested; `lines` tells what is outstanding. "
        "Accept less, or send `allow_surplus: true`.",
    ),
    "over_planned": Problem(
        409,
        "More than is accepted and still to send",
        "`lines` tells for each offer line what is accepted and not yet planned or dispatched.",
    ),
    "below_accepted": Problem(
        409,
        "Below what is accepted already",
        "A request line cannot ask for less than was accepted. Release or decline offers first.",
    ),
    "lot_reserved": Problem(
        409,
        "The lot has reservations",
        "Stock that is promised cannot be taken away. Withdraw the offers first, or publish the "
        "true count: a count below what is reserved is accepted and tells both parties.",
    ),
    "pool_reserved": Problem(
        409,
        "The pool has promised people",
        "Withdraw the offers or end the deployments first.",
    ),
    "already_received": Problem(
        409,
        "The consignment is received with other figures",
        "A receipt is signed once. The same one may be repeated; another one is not taken. Read "
        "the consignment, and settle the difference with the other party.",
    ),
    "stale_count": Problem(
        409,
        "A newer count stands",
        "The exchange has a count of this lot or pool with a later `as_of`, told in the answer. "
        "An older one would bring back what has left since. Count again, or leave it out.",
    ),
    "duplicate_ref": Problem(
        409,
        "The reference belongs to another offer",
        "You made another offer with this `ref`. Repeat that one with the same body, or take a "
        "new `ref` for a new offer.",
    ),
    "site_in_use": Problem(
        409,
        "The site is in use",
        "Lots or pools are published at this site; move them first.",
    ),
    "already_exists": Problem(
        409,
        "It exists already",
        "Another object has this reference; `errors` names the field.",
    ),
    "limit_reached": Problem(
        409,
        "As many as there may be",
        "`detail` names the limit. End, close or revoke something first; nothing was changed.",
    ),
    "conflict": Problem(
        409,
        "In conflict with the present data",
        "Read the object again and decide anew.",
    ),
    "precondition_failed": Problem(
        412,
        "The object has changed",
        "`If-Match` or `If-None-Match` does not hold any more. Read it again and decide anew.",
    ),
    "body_too_large": Problem(
        413, "The body is too large", "Send less in one call; the limit is in `detail`."
    ),
    "head_too_large": Problem(
        431,
        "The head of the request is too large",
        "Address and header fields may be 32 kB in all. Send fewer or shorter ones: a key, an "
        "Idempotency-Key and preconditions are all that the exchange reads.",
    ),
    "unsupported_media_type": Problem(
        415,
        "The body is of another type",
        "Send JSON as `Content-Type: application/json`, in UTF-8; a file to import under its own "
        "type, as `detail` tells.",
    ),
    "body_timeout": Problem(
        408,
        "The body did not arrive in time",
        "Repeat the call; with its Idempotency-Key.",
    ),
    "invalid_input": Problem(
        422,
        "The input is not acceptable",
        "`errors` names each field by JSON pointer (or `query/…`, `path/…`, `header/…`), with a "
        "code and the reason.",
    ),
    "malformed_json": Problem(
        422,
        "The body is not JSON as the exchange reads it",
        "UTF-8, no duplicate keys, no NaN or Infinity, no number out of range, at most 64 levels.",
    ),
    "unreadable_file": Problem(
        422,
        "The file cannot be read",
        "`errors` tells the row, the column and the reason. Nothing was changed.",
    ),
    "import_refused": Problem(
        422,
        "Rows are at fault, and all or nothing was asked",
        "`errors` tells each row at fault, its field and the reason. Nothing was changed. Correct "
        "them, or leave out `all_or_nothing`: then the good rows go in.",
    ),
    "unknown_reference": Problem(
        422,
        "It refers to something that does not exist",
        "`errors` names the field. What is not yours to see answers in the same way.",
    ),
    "pack_mismatch": Problem(
        422,
        "The pack cannot express this quantity",
        "`errors` tells the nearest quantities that it can express.",
    ),
    "not_a_match": Problem(
        422,
        "The offer does not fit the request line",
        "The lot's item must be the line's item, or a substitute where the line accepts them; the "
        "pool's skill must be the line's skill.",
    ),
    "lot_expired": Problem(
        422,
        "The goods have expired",
        "The lot's `expires_on` is over. Offer from another lot, or correct the date that you "
        "published.",
    ),
    "receipt_mismatch": Problem(
        422,
        "The receipt does not add up",
        "For each line, received + damaged + missing must equal what was dispatched.",
    ),
    "idempotency_key_reused": Problem(
        422,
        "The key belongs to another call",
        "This Idempotency-Key was used with another body or operation. Use a fresh key for each "
        "new intention, and the old one only to repeat the same call.",
    ),
    "manifest_erased": Problem(
        410,
        "The manifest is erased",
        "Manifests are erased 30 days after the people's return, or after `until` where nobody "
        "says that they are back; 180 days after `until` at the latest.",
    ),
    "rate_limited": Problem(
        429,
        "Too many calls at once",
        "Your society sends more than its share, or has too much open at once. Nothing was "
        "changed. Repeat after `Retry-After`; `RateLimit-Policy` and `RateLimit` tell how many "
        "calls there are and what is left.",
    ),
    "no_space": Problem(
        507,
        "No space left",
        "The disk of the exchange is full. Nothing was changed. Repeat after `Retry-After`, and "
        "tell the operator.",
    ),
    "busy": Problem(
        503,
        "The exchange is busy",
        "No database connection came free, or a lock was not released in time. Nothing was "
        "changed. Repeat after `Retry-After`.",
    ),
    "plan_failed": Problem(
        503,
        "No plan within the limits",
        "The planning process found nothing within its time and memory, or it failed. Nothing was "
        "changed. Plan fewer requests at once, or with a longer `time_limit`.",
    ),
    "database_unavailable": Problem(
        503,
        "The database cannot be reached",
        "The connection failed. Whether the call took effect is not known: repeat it after "
        "`Retry-After`, with the same Idempotency-Key, and it takes effect exactly once.",
    ),
    "stopping": Problem(
        503,
        "The service is stopping",
        "Repeat after `Retry-After`; another copy will answer.",
    ),
    "http_error": Problem(400, "The request cannot be served", "See `detail`."),
    "internal_error": Problem(
        500,
        "An error of ours",
        "It is logged under `request_id`. Nothing was changed. Repeating with the same "
        "Idempotency-Key is safe.",
    ),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One field at fault: where (JSON pointer), which kind, and the reason in plain words."""

    pointer: str
    code: str
    message: str


class AppError(HTTPException):
    """A refusal that the caller can act on.

    `detail` is one plain sentence, `faults` name fields of the input, `extra` are further members
    of the problem (such as `state` or `lines`). It never carries the rejected input itself.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.problem = CODES[code]
        self.faults = faults
        self.extra = dict(extra or {})
        super().__init__(self.problem.status, detail, dict(headers or {}))

    def document(self, request_id: str | None = None) -> bytes:
        """The problem as JSON text."""
        content: dict[str, Any] = {
            "type": f"/problems/{self.code}",
            "title": self.problem.title,
            "status": self.status_code,
            "detail": self.detail,
            "code": self.code,
        }
        if self.faults:
            content["errors"] = [
                {"pointer": f.pointer, "code": f.code, "message": f.message} for f in self.faults
            ]
        content.update(self.extra)
        if request_id:
            content["request_id"] = request_id
        return dump(content)

    def response(self, request_id: str | None = None) -> Response:
        """The problem as an answer."""
        return Response(
            self.document(request_id),
            self.status_code,
            headers=self.headers,
            media_type="application/problem+json",
        )


def invalid(pointer: str, code: str, message: str) -> AppError:
    """A single field that is not acceptable."""
    return AppError("invalid_input", message, faults=[Fault(pointer, code, message)])


def unknown(pointer: str, what: str) -> AppError:
    """A field that refers to what does not exist, or is not the caller's to see."""
    message = f"There is no such {what}, or it is not yours to see."
    return AppError("unknown_reference", message, faults=[Fault(pointer, "unknown", message)])


def missing(what: str) -> AppError:
    """404: nothing there, or not the caller's to see."""
    return AppError("not_found", f"There is no such {what}, or it is not yours to see.")


def wrong_state(what: str, state: str, needed: str) -> AppError:
    """409: a move that the present state does not allow."""
    return AppError(
        "wrong_state",
        f"The {what} is {state}; this needs it to be {needed}.",
        extra={"state": state},
    )


NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the operating system says where a file cannot grow."""


def no_space() -> AppError:
    """507: nothing more can be written."""
    return AppError(
        "no_space",
        "There is no space left on the disk; nothing was changed.",
        headers={"Retry-After": "60"},
    )
