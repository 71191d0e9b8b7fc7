"""What schemathesis cannot know of this API: loaded by it, see `tests/fuzz.py`."""

import json
import os
import random
import uuid
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, GenerationMode, HookContext, Response


@schemathesis.serializer("application/x-ndjson")
def _lines(ctx: Any, value: Any) -> bytes:
    """A file of lines is sent as the text that it is."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


WORLD = json.loads(os.environ["KOMEK_FUZZ_WORLD"])

_DICE = random.Random(6)
_KINDS = {"ids": "id", "refs": "ref", "codes": "code"}

# Problems that say: the world is not so, whatever the schema says.
_OF_THE_WORLD = frozenset(
    {
        "unknown_reference",
        "not_a_match",
        "pack_mismatch",
        "receipt_mismatch",
        "idempotency_key_reused",
        # To a schema a file is text, whatever stands in it.
        "unreadable_file",
        "import_refused",
    }
)
# Faults between fields, of cursors (opaque words of ours), and rules of texts and times for which
# JSON Schema has no words (a year, two decimals, "not blank", "no space at either end").
# `int_type`: to JSON Schema 3.0 is an integer; here 3 alone is, so that no quantity is a float.
_BEYOND_SCHEMA = frozenset(
    {
        "itself", "one_of", "before_from",
        "duplicate", "incomplete", "request_line_missing", "own_society",
        "out_of_range", "not_later", "wrong_kind", "cursor_form", "null", "int_type",
        "decimal_max_places", "instant_range", "date_range", "text_blank", "reference_form",
        "value_error", "url_form", "beyond_the_end",
    }
)  # fmt: skip


def _is_positive(case: Case[Any]) -> bool:
    return case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:
    """Spare the clients whose keys this very run calls with."""
    return (case.path_parameters or {}).get("id") not in WORLD["own"]


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Let calls that fit the schema meet objects that exist, and each be a call of its own."""
    if not _is_positive(case):
        return
    if case.headers and "Idempotency-Key" in case.headers:
        # The document's example would be one key for every operation.
        case.headers["Idempotency-Key"] = str(uuid.UUID(int=_DICE.getrandbits(128)))
    if _DICE.random() < 0.3:
        return
    kind = case.operation.path.removeprefix("/v1/").removeprefix("my/").partition("/")[0]
    for names, parameter in _KINDS.items():
        if parameter in (case.path_parameters or {}) and kind in WORLD[names]:
            case.path_parameters[parameter] = WORLD[names][kind]
    if isinstance(case.body, dict):
        case.body = _with_known(case.body)


def _with_known(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: WORLD["body"][key]
            if key in WORLD["body"] and isinstance(inner, str)
            else _with_known(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_with_known(inner) for inner in value]
    return value


@schemathesis.check
def refused_for_a_reason(context: CheckContext, response: Response, case: Case[Any]) -> None:
    """A call that fits the schema is refused as malformed only where no schema can tell why."""
    if not _is_positive(case) or response.status_code != 422:
        return
    problem = response.json()
    if problem["code"] in _OF_THE_WORLD:
        return
    unexpected = [e for e in problem.get("errors", ()) if e["code"] not in _BEYOND_SCHEMA]
    assert problem["code"] == "invalid_input", problem
    assert not unexpected, f"The schema allows what is refused: {unexpected}"
