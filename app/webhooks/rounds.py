"""One round of an endpoint: what is to be sent, what came of it, how the endpoint stands then."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app import chance, clock
from app.webhooks import rules
from app.webhooks.leases import Standing
from app.webhooks.rules import Outcome


@dataclass(frozen=True, slots=True)
class Message:
    """One event on its way. `tries`: failed attempts of its schedule until now.

    `kind`: `live` at its first attempt, `due` when it is tried again, `replay` when asked for.
    """

    seq: int
    record: str
    type: str
    body: bytes
    tries: int = 0
    kind: str = "live"


@dataclass(slots=True)
class Round:
    """What one round has to send, and what came of it."""

    live_end: int
    failures: int
    replay_end: int | None = None
    messages: list[Message] = field(default_factory=list)
    sent: list[tuple[Message, Outcome, str]] = field(default_factory=list)
    withheld: list[dict[str, Any]] = field(default_factory=list)
    rests: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether everything was sent."""
        return len(self.sent) == len(self.messages)

    def reached(self, kind: str, before: int, end: int) -> int:
        """The place up to which everything of a kind is tried."""
        done = {m.seq for m, _, _ in self.sent if m.kind == kind}
        for message in self.messages:
            if message.kind == kind and message.seq not in done:
                return max(before, message.seq - 1)
        return end


def message_of(row: Any, doc: str, kind: str, tries: int = 0) -> Message | None:
    """The message of an event; None for another endpoint's test, and for an envelope where none
    was asked for."""
    event = json.loads(doc)
    if event["id"] is None:
        return _envelope(event, doc, kind, tries) if row.sealed else None
    if event["type"] == rules.TEST and event["subject"]["id"] != str(row.id):
        return None
    return Message(event["seq"], event["id"], event["type"], doc.encode(), tries, kind)


def _envelope(event: Any, doc: str, kind: str, tries: int) -> Message:
    # The record's id would tell when it was written. The commitment tells nothing, and is as much
    # the same at every attempt.
    stands_for_it = UUID(bytes=bytes.fromhex(event["commitment"])[:16])
    return Message(event["seq"], str(stands_for_it), event["type"], doc.encode(), tries, kind)


def noted(message: Message, outcome: Outcome, at: str, now: datetime) -> dict[str, Any]:
    """What is written down of an attempt, and when the next one is due."""
    tries = 0 if outcome.delivered else message.tries + 1
    status, next_at = "delivered", None
    if not outcome.delivered:
        next_at = rules.next_attempt(tries, now, chance.between(0, 1))
        status = "waiting" if next_at is not None else "exhausted"
    attempt = {
        "at": at,
        "status": outcome.status,
        "body": outcome.body,
        "milliseconds": outcome.milliseconds,
        "error": outcome.error,
    }
    return {
        "seq": message.seq,
        "record": message.record,
        "type": message.type,
        "status": status,
        "tries": tries,
        "attempts": [attempt],
        "next_attempt_at": clock.text(next_at) if next_at else None,
    }


def withheld(waiting: Any, now: datetime) -> dict[str, Any]:
    """What is written down where the society may not see an event any more: it is not sent."""
    attempt = {
        "at": clock.text(now),
        "status": None,
        "body": "",
        "milliseconds": 0,
        "error": "not sent: the society may not see this event any more",
    }
    return {
        "seq": waiting.seq,
        "record": str(waiting.record),
        "type": waiting.type,
        "status": "exhausted",
        "tries": waiting.tries,
        "attempts": [attempt],
        "next_attempt_at": None,
    }


def standing_after(
    held: Any, row: Any, work: Round, notes: Sequence[Any], now: datetime
) -> Standing:
    """How the endpoint stands after a round.

    `row` is the endpoint as the round began, `held` as others left it meanwhile.
    """
    outcomes = [outcome for _, outcome, _ in work.sent]
    failing_since = held.failing_since
    for outcome in outcomes:
        failing_since = None if outcome.delivered else failing_since or now
    replay_after, replay_until = held.replay_after, held.replay_until
    if work.replay_end is not None and replay_until == row.replay_until:
        replay_after = work.reached("replay", row.replay_after, work.replay_end)
        if replay_after >= replay_until:
            replay_after = replay_until = None
    standing = Standing(
        status="active",
        reason=None,
        cursor=work.reached("live", row.cursor, work.live_end),
        replay_after=replay_after,
        replay_until=replay_until,
        failures=work.failures if outcomes else held.failures,
        failing_since=failing_since,
        last_success_at=now if any(o.delivered for o in outcomes) else None,
        rests_until=now + rules.seconds(work.rests) if work.rests else None,
    )
    if outcomes and outcomes[-1].gone:
        standing.status, standing.reason = "disabled", "gone"
    elif any(note["status"] == "exhausted" for note in notes):
        standing.status, standing.reason = "paused", "exhausted"
    elif failing_since is not None and rules.worn_out(standing.failures, failing_since, now):
        standing.status, standing.reason = "paused", "failing"
    return standing
