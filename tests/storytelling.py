"""Play the documentation's story against the service, and write its answers as the document tells
them: with the specimens in place of what differs from one playing to the next."""

import asyncio
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from app import specimens
from app.service.story import STORY, Step

ANSWERS = Path(__file__).parent.parent / "app" / "service" / "story" / "answers.json"

_UUID = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_INSTANT = re.compile(r"\b(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)(Z|\+00:00)")
_BEGIN = datetime(2027, 1, 9, 8, tzinfo=UTC)
_DIGESTS = ("salt", "commitment", "private_commitment", "hash", "previous_hash")
# What is counted while others work: as the document shows it.
_COUNTED = {"cursor": 42, "reached": 42, "until": 42, "milliseconds": 38, "behind": 0}
_AFTER_DELIVERY = frozenset({"list_deliveries", "get_progress", "replay_range", "rotate_webhook"})
_WITHOUT_BODY_EXAMPLE = frozenset({"get_metrics"})


class Telling:
    """One playing of the story."""

    def __init__(self, document: Mapping[str, Any], clients: Mapping[str, httpx.AsyncClient]):
        self._places = {
            operation["operationId"]: (method.upper(), path)
            for path, item in document["paths"].items()
            for method, operation in item.items()
        }
        self._clients = clients
        self.real: dict[str, str] = {}
        self._begun = [datetime.now(UTC) - timedelta(minutes=1)]

    async def play(self, step: Step) -> httpx.Response:
        """Send a step's request, with the real ids in place of the specimens."""
        if step.operation in _AFTER_DELIVERY:
            await self._all_delivered(step)
        self._begun.append(datetime.now(UTC))
        method, template = self._places[step.operation]
        path = template.format(**{k: quote(self._really(v)) for k, v in step.path.items()})
        body = None if step.body is None else json.loads(self._really(json.dumps(step.body)))
        query = {k: self._really(str(v)) for k, v in step.query.items()}
        sheet = {} if step.sheet is None else {"Content-Type": "text/csv"}
        response = await self._clients[step.by].request(
            method, path, params=query, json=body, headers=sheet,
            content=None if step.sheet is None else step.sheet.encode(),
        )  # fmt: skip
        assert response.is_success, f"{step.operation} {step.uses}: {response.text}"
        for specimen, place in step.gives.items():
            value: Any = response.json()
            for part in place.split("/"):
                value = value[int(part)] if part.isdigit() else value[part]
            self.real[specimen] = value
        return response

    async def _all_delivered(self, step: Step) -> None:
        """Wait until the endpoint has everything, so that what is told of it is always the same."""
        path = f"/v1/webhooks/{self._really(step.path['id'])}/progress"
        for _ in range(500):
            progress = (await self._clients[step.by].get(path)).json()
            open_ones = (progress["behind"], progress["waiting"], progress["replaying"])
            if progress["last_success_at"] and not any(open_ones):
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the endpoint does not get what happens")

    async def play_sealed(self, step: Step) -> httpx.Response:
        """As `play`, but wait for what the feed does not show yet."""
        for _ in range(500):
            response = await self.play(step)
            if len(response.json()["items"]) == step.query["limit"]:
                return response
            await asyncio.sleep(0.02)
        raise AssertionError("the feed does not show what the story did")

    def _really(self, text: str) -> str:
        return _UUID.sub(lambda m: self.real.get(m[0], m[0]), text)

    def tell(self, step: Step, response: httpx.Response) -> dict[str, Any]:
        """An answer as the document shows it."""
        told: dict[str, Any] = {"status": response.status_code}
        if location := response.headers.get("location"):
            told["location"] = self._in_specimens(location)
        if response.headers.get("content-type", "").startswith("text/csv"):
            told["sheet"] = self._in_specimens(response.content.decode("utf-8-sig"))
        elif response.content and step.operation not in _WITHOUT_BODY_EXAMPLE:
            told["body"] = _constant(json.loads(self._in_specimens(response.text)))
        return told

    def _in_specimens(self, text: str) -> str:
        known = {real: specimen for specimen, real in self.real.items()}

        def name(match: re.Match[str]) -> str:
            if match[0] not in known:
                # Ids that no example refers to: numbered in the order of their appearance.
                n = len(self.real)
                known[match[0]] = f"01935fc0-{n:04x}-7000-8000-{n:012x}"
                self.real[known[match[0]]] = match[0]
            return known[match[0]]

        return _INSTANT.sub(self._in_story_time, _UUID.sub(name, text))

    def _in_story_time(self, match: re.Match[str]) -> str:
        instant = datetime.fromisoformat(match[1] + "+00:00")
        # What is a week or a day ahead is what the service itself counted from the present.
        for ahead in (timedelta(0), timedelta(days=1), timedelta(days=7)):
            since = instant - ahead
            if self._begun[0] <= since <= datetime.now(UTC):
                n = sum(1 for begun in self._begun[1:] if begun <= since)
                when = _BEGIN + ahead + timedelta(minutes=n)
                exact = ".000000Z" if match[2] == "Z" else "+00:00"
                return when.strftime("%Y-%m-%dT%H:%M:%S") + exact
        return match[0]


def _constant(value: Any, name: str = "", place: int = 0) -> Any:
    """Digests, keys and places in the feed differ from one playing to the next."""
    if isinstance(value, dict):
        return {k: _constant(v, k, place) for k, v in value.items()}
    if isinstance(value, list):
        return [_constant(v, name, n) for n, v in enumerate(value)]
    if name == "seq":
        return 42 + place
    if name in _COUNTED and isinstance(value, int):
        return _COUNTED[name]
    if not isinstance(value, str):
        return value
    if name in _DIGESTS:
        return specimens.DIGEST
    if name == "key" and value.startswith("komek_"):
        return specimens.KEY
    if name == "secret":
        return specimens.SECRET
    if name == "prefix":
        return specimens.KEY[: len(value)]
    return value


async def tell_all(telling: Telling) -> dict[str, Any]:
    """Play the whole story; the answers of what is shown, by operation and use."""
    told = {}
    for step in STORY:
        play = telling.play_sealed if step.operation == "list_events" else telling.play
        response = await play(step)
        if step.shown:
            told[f"{step.operation}/{step.uses}"] = telling.tell(step, response)
    return told
