"""What may be repeated, and after which wait."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from app.client import retrying
from app.client.calling import Surroundings
from app.client.errors import Refused, Unreachable
from app.client.exchange import Exchange
from app.client.following import Sent, sent_events
from app.client.retrying import Outcome, Rules

TODAY = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
Answer = httpx.Response | Exception


class Link:
    """A link whose answers are known beforehand, and a clock that moves by waiting alone."""

    def __init__(self, *answers: Answer, chance: float = 1.0) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.waits: list[float] = []
        self.now = 0.0
        self._chance = chance

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        # An answer is read once; the same may be given to several attempts.
        return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)

    async def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    def exchange(self, **rules: float) -> Exchange:
        return Exchange(
            "http://exchange.test",
            "key",
            rules=Rules(**rules),
            surroundings=Surroundings(
                lambda: self.now, lambda: TODAY, self._sleep, lambda: self._chance
            ),
            http=httpx.AsyncClient(
                base_url="http://exchange.test", transport=httpx.MockTransport(self._answer)
            ),
        )


def problem(status: int, code: str, **headers: str) -> httpx.Response:
    named = {k.replace("_", "-"): v for k, v in headers.items()}
    return httpx.Response(status, json={"status": status, "code": code, "x": 1}, headers=named)


FINE = httpx.Response(200, json={"id": "1"})
CUT = httpx.ReadError("cut")


@pytest.mark.parametrize(
    "failure",
    [
        httpx.ConnectError("no route"),
        httpx.ReadError("cut"),
        httpx.WriteError("cut"),
        httpx.ReadTimeout("silence"),
        httpx.ConnectTimeout("silence"),
        httpx.RemoteProtocolError("half an answer"),
        problem(408, "body_timeout"),
        problem(429, "slow_down"),
        problem(500, "internal_error"),
        problem(502, "bad_gateway"),
        problem(503, "busy"),
        problem(507, "no_space"),
        problem(504, "gateway_timeout"),
        problem(409, "idempotency_in_progress"),
        httpx.Response(200, text="<html>Log in", headers={"content-type": "text/html"}),
    ],
)
async def test_a_call_that_got_no_final_answer_is_repeated_with_its_key(failure: Answer) -> None:
    link = Link(failure, failure, FINE)
    assert await link.exchange().post("/v1/offers", {"a": 1}) == {"id": "1"}
    keys = {r.headers["idempotency-key"] for r in link.requests}
    bodies = {r.content for r in link.requests}
    assert (len(link.requests), len(keys), bodies) == (3, 1, {b'{"a":1}'})
    await link.exchange().post("/v1/offers", {"a": 1})
    assert link.requests[-1].headers["idempotency-key"] not in keys, "another intention"


@pytest.mark.parametrize(
    ("status", "code"),
    [(409, "wrong_state"), (412, "precondition_failed"), (422, "invalid_input"), (404, "x")],
)
async def test_what_is_refused_is_not_repeated(status: int, code: str) -> None:
    link = Link(problem(status, code))
    with pytest.raises(Refused) as refused:
        await link.exchange().post("/v1/offers", {})
    assert (refused.value.status, refused.value.code, refused.value.extra) == (
        status,
        code,
        {"x": 1},
    )
    assert len(link.requests) == 1


async def test_an_error_of_the_exchange_is_repeated_three_times_at_most() -> None:
    link = Link(problem(500, "internal_error"))
    with pytest.raises(Refused, match="internal_error"):
        await link.exchange().get("/v1/me")
    assert len(link.requests) == 4


async def test_patience_ends_and_tells_the_last_cause_and_the_key() -> None:
    link = Link(CUT)
    with pytest.raises(Unreachable, match="ReadError cut") as gone:
        await link.exchange(patience=60).post("/v1/offers", {}, once="mine")
    assert gone.value.key == "mine"
    assert link.now < 60
    assert link.waits == [0.25, 0.5, 1, 2, 4, 8, 16]


async def test_the_wait_is_anything_up_to_a_bound_that_doubles_to_half_a_minute() -> None:
    link = Link(CUT, chance=0.5)
    with pytest.raises(Unreachable):
        await link.exchange(patience=100).get("/v1/me")
    assert link.waits == [0.125, 0.25, 0.5, 1, 2, 4, 8, 15, 15, 15, 15, 15]


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7.0),
        (format_datetime(TODAY + timedelta(seconds=20), usegmt=True), 20.0),
        (format_datetime(TODAY - timedelta(seconds=20), usegmt=True), 0.0),
        ("86400", 120.0),
        ("9" * 400, 120.0),
        ("soon", 0.25),
        ("-3", 0.25),
    ],
)
async def test_the_exchange_says_when_to_come_back(told: str, seconds: float) -> None:
    link = Link(problem(503, "busy", retry_after=told), FINE)
    await link.exchange().get("/v1/me")
    assert link.waits == [seconds]


async def test_a_removal_that_finds_nothing_after_a_lost_answer_is_done() -> None:
    gone = problem(404, "not_found")
    await Link(CUT, gone).exchange().remove_lot("a")
    for known in (problem(429, "slow_down"), httpx.ConnectError("no route")):
        with pytest.raises(Refused, match="not_found"):
            await Link(known, gone).exchange().remove_lot("a")
    with pytest.raises(Refused, match="not_found"):
        await Link(gone).exchange().remove_lot("a")


async def test_a_precondition_that_fails_after_a_lost_answer_is_told_as_it_is() -> None:
    with pytest.raises(Refused, match="precondition_failed"):
        await Link(CUT, problem(412, "precondition_failed")).exchange().put("/x", {}, '"1"')


async def test_an_attempt_ends_when_patience_does() -> None:
    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    http = httpx.AsyncClient(base_url="http://x.test", transport=httpx.MockTransport(never))
    with pytest.raises(Unreachable, match="no answer in time"):
        await Exchange("http://x.test", "k", rules=Rules(patience=0.05), http=http).me()


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (httpx.Response(301, headers={"location": "https://b.test/"}), "https://b.test/"),
        (httpx.Response(404, text="nginx"), "is the address right"),
        (httpx.Response(400, json=["not", "a", "problem"]), "is the address right"),
    ],
)
async def test_an_answer_of_somebody_else_is_told_apart(answer: Answer, says: str) -> None:
    with pytest.raises(Refused, match="http_error") as refused:
        await Link(answer).exchange().me()
    assert says in refused.value.detail


async def test_a_list_is_read_page_by_page() -> None:
    pages = [
        {"items": [1, 2], "next": "c"},
        {"items": [], "next": "d"},
        {"items": [3], "next": None},
    ]
    link = Link(*(httpx.Response(200, json=page) for page in pages))
    found = [item async for item in link.exchange().listed("/v1/stock", item="A", near=(1.5, 2))]
    assert found == [1, 2, 3]
    asked = [dict(r.url.params) for r in link.requests]
    assert asked[0] == {"limit": "200", "item": "A", "near": "1.5,2"}
    assert [a.get("cursor") for a in asked] == [None, "c", "d"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
async def test_an_event_that_is_cut_off_is_none(size: int) -> None:
    text = json.dumps({"note": "a\u2028b\x85c"}, ensure_ascii=False)
    whole = f"retry: 5\nid: 1\n\nevent: x\r\ndata: {text}\r\nid: 2\r\n\r\ndata: half\nid: 3\n"
    raw = whole.encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(raw), size):
            yield raw[start : start + size]

    assert [s async for s in sent_events(chunks())] == [Sent("1", None, None), Sent("2", "x", text)]


@pytest.mark.parametrize("make", [lambda n: Outcome(503), lambda n: Outcome(None)])
def test_the_bound_of_the_wait_stays_a_number_for_ever(make: Callable[[int], Outcome]) -> None:
    assert retrying.may_be_repeated(make(0), 10**9)
    assert retrying.wait(Rules(), 10**9, None, 1.0, TODAY) == 30.0
