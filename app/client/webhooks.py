"""Webhooks: endpoints of your society, their secrets, and what was sent to them.

What is sent and shown of them is here too; see shown.py.
"""

from collections.abc import AsyncGenerator
from typing import Literal, NotRequired, TypedDict, cast

from app.client.calling import Caller

WebhookStatus = Literal["active", "paused", "disabled"]
DeliveryStatus = Literal["waiting", "delivered", "exhausted"]

WebhookInput = TypedDict(
    "WebhookInput",
    {
        "url": str,
        "types": NotRequired[list[str] | None],
        "emergency": NotRequired[str | None],
        "mine": NotRequired[bool],
        "sealed": NotRequired[bool],
        "description": NotRequired[str | None],
        "from": NotRequired[Literal["now"] | int],
    },
)
"""A new endpoint. `from` is the `seq` after which to begin; now where it is left out."""


class WebhookPatch(TypedDict):
    """What is to be changed; what is left out stays."""

    url: NotRequired[str | None]
    types: NotRequired[list[str] | None]
    emergency: NotRequired[str | None]
    mine: NotRequired[bool | None]
    sealed: NotRequired[bool | None]
    description: NotRequired[str | None]


class SecretRotation(TypedDict):
    """How long the secret before signs along."""

    overlap_hours: NotRequired[int]


class ReplayInput(TypedDict):
    """What is to be sent once more."""

    after: int
    until: NotRequired[int | None]


class SecretTimes(TypedDict):
    """A secret that signs; never the secret itself."""

    created_at: str
    expires_at: str | None


class Webhook(TypedDict):
    """An endpoint of your society."""

    id: str
    url: str
    description: str | None
    types: list[str] | None
    emergency: str | None
    mine: bool
    sealed: bool
    status: WebhookStatus
    reason: Literal["failing", "exhausted", "gone"] | None
    since: str
    created_at: str
    secrets: list[SecretTimes]


class WebhookWithSecret(Webhook):
    """An endpoint and its new secret, which is shown this once."""

    secret: str | None


class Range(TypedDict):
    """What is left of a replay."""

    after: int
    until: int


class Progress(TypedDict):
    """How far an endpoint is."""

    cursor: int
    behind: int
    waiting: int
    exhausted: int
    replaying: Range | None
    failures_in_a_row: int
    failing_since: str | None
    last_success_at: str | None
    next_attempt_at: str | None
    rests_until: str | None


class Attempt(TypedDict):
    """One POST."""

    at: str
    status: int | None
    body: str
    milliseconds: int
    error: str | None


class Delivery(TypedDict):
    """An event on its way to an endpoint."""

    id: str
    seq: int
    type: str
    status: DeliveryStatus
    attempts: list[Attempt]
    next_attempt_at: str | None
    updated_at: str


class Webhooks(Caller):
    """Where events are sent. `once` is the Idempotency-Key, made anew where None."""

    def webhooks(self) -> AsyncGenerator[Webhook, None]:
        """Your endpoints."""
        return self.listed("/v1/webhooks")

    async def open_webhook(
        self, webhook: WebhookInput, *, once: str | None = None
    ) -> WebhookWithSecret:
        """Have events sent. Its `secret` is in this answer alone; null where it is a repeat."""
        return cast(WebhookWithSecret, await self.post("/v1/webhooks", webhook, once=once))

    async def read_webhook(self, webhook: str) -> Webhook:
        """One endpoint."""
        return cast(Webhook, await self.get(f"/v1/webhooks/{webhook}"))

    async def change_webhook(
        self,
        webhook: str,
        change: WebhookPatch,
        *,
        once: str | None = None,
        if_match: str | None = None,
    ) -> Webhook:
        """Change its URL or what it wants."""
        path = f"/v1/webhooks/{webhook}"
        return cast(Webhook, await self.patch(path, change, once=once, if_match=if_match))

    async def close_webhook(self, webhook: str, *, if_match: str | None = None) -> None:
        """Nothing more is sent."""
        await self.delete(f"/v1/webhooks/{webhook}", if_match)

    async def rotate_webhook(
        self, webhook: str, overlap: SecretRotation | None = None, *, once: str | None = None
    ) -> WebhookWithSecret:
        """Give it a new secret; for the overlap both sign."""
        path = f"/v1/webhooks/{webhook}/rotate"
        return cast(WebhookWithSecret, await self.post(path, overlap, once=once))

    async def test_webhook(self, webhook: str, *, once: str | None = None) -> Webhook:
        """Have a `webhook.test` sent to it."""
        return cast(Webhook, await self.post(f"/v1/webhooks/{webhook}/test", once=once))

    async def resume_webhook(self, webhook: str, *, once: str | None = None) -> Webhook:
        """Send again, from where it stopped."""
        return cast(Webhook, await self.post(f"/v1/webhooks/{webhook}/resume", once=once))

    async def webhook_progress(self, webhook: str) -> Progress:
        """How far it is."""
        return cast(Progress, await self.get(f"/v1/webhooks/{webhook}/progress"))

    def deliveries(
        self, webhook: str, *, status: DeliveryStatus | None = None, type_: str | None = None
    ) -> AsyncGenerator[Delivery, None]:
        """What was sent and what came back, newest first."""
        return self.listed(f"/v1/webhooks/{webhook}/deliveries", status=status, type_=type_)

    async def replay_delivery(
        self, webhook: str, delivery: str, *, once: str | None = None
    ) -> Delivery:
        """Have one event sent once more."""
        path = f"/v1/webhooks/{webhook}/deliveries/{delivery}/replay"
        return cast(Delivery, await self.post(path, once=once))

    async def replay_webhook(
        self, webhook: str, what: ReplayInput, *, once: str | None = None
    ) -> Progress:
        """Have everything after a `seq` sent once more."""
        path = f"/v1/webhooks/{webhook}/replay"
        return cast(Progress, await self.post(path, what, once=once))
