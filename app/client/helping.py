"""Ask and help: emergencies, requests, offers."""

from collections.abc import AsyncGenerator
from typing import Literal, cast

from app.client.agreed import Emergency, Hazard, Offer, Priority, Request
from app.client.calling import Caller
from app.client.given import (
    Acceptance,
    EmergencyInput,
    OfferInput,
    RequestChange,
    RequestInput,
)


class Helping(Caller):
    """Emergencies, requests and offers. `once` is the Idempotency-Key, made anew where None."""

    async def open_emergency(
        self, emergency: EmergencyInput, *, once: str | None = None
    ) -> Emergency:
        """Report a disaster."""
        return cast(Emergency, await self.post("/v1/emergencies", emergency, once=once))

    def emergencies(
        self,
        *,
        status: Literal["open", "closed"] | None = None,
        hazard: Hazard | None = None,
        country: str | None = None,
        society: str | None = None,
        glide: str | None = None,
    ) -> AsyncGenerator[Emergency, None]:
        """Disasters that were reported."""
        return self.listed(
            "/v1/emergencies",
            status=status,
            hazard=hazard,
            country=country,
            society=society,
            glide=glide,
        )

    async def read_emergency(self, emergency: str) -> Emergency:
        """One disaster."""
        return cast(Emergency, await self.get(f"/v1/emergencies/{emergency}"))

    async def take_over_emergency(
        self, emergency: str, *, once: str | None = None, if_match: str | None = None
    ) -> Emergency:
        """Make a disaster in your own country yours, whoever reported it."""
        path = f"/v1/emergencies/{emergency}/take-over"
        return cast(Emergency, await self.post(path, once=once, if_match=if_match))

    async def close_emergency(
        self, emergency: str, *, once: str | None = None, if_match: str | None = None
    ) -> Emergency:
        """End a disaster: it takes no more requests."""
        path = f"/v1/emergencies/{emergency}/close"
        return cast(Emergency, await self.post(path, once=once, if_match=if_match))

    async def open_request(self, request: RequestInput, *, once: str | None = None) -> Request:
        """Ask for goods and people."""
        return cast(Request, await self.post("/v1/requests", request, once=once))

    def requests(
        self,
        *,
        status: Literal["open", "closed", "cancelled"] | None = None,
        emergency: str | None = None,
        society: str | None = None,
        priority: Priority | None = None,
    ) -> AsyncGenerator[Request, None]:
        """What societies ask for."""
        return self.listed(
            "/v1/requests", status=status, emergency=emergency, society=society, priority=priority
        )

    async def read_request(self, request: str) -> Request:
        """One request, with the figures of each line."""
        return cast(Request, await self.get(f"/v1/requests/{request}"))

    async def change_request(
        self,
        request: str,
        change: RequestChange,
        *,
        once: str | None = None,
        if_match: str | None = None,
    ) -> Request:
        """Change what is asked for."""
        path = f"/v1/requests/{request}"
        return cast(Request, await self.patch(path, change, once=once, if_match=if_match))

    async def close_request(
        self, request: str, *, once: str | None = None, if_match: str | None = None
    ) -> Request:
        """End a request that has what it needs."""
        path = f"/v1/requests/{request}/close"
        return cast(Request, await self.post(path, once=once, if_match=if_match))

    async def cancel_request(
        self, request: str, *, once: str | None = None, if_match: str | None = None
    ) -> Request:
        """Take a request back of which nothing is accepted."""
        path = f"/v1/requests/{request}/cancel"
        return cast(Request, await self.post(path, once=once, if_match=if_match))

    async def offer(self, offer: OfferInput, *, once: str | None = None) -> Offer:
        """Offer from lots and pools of your own; what is offered is reserved at once."""
        return cast(Offer, await self.post("/v1/offers", offer, once=once))

    def offers(
        self,
        *,
        request: str | None = None,
        status: str | None = None,
        as_: Literal["provider", "requester"] | None = None,
    ) -> AsyncGenerator[Offer, None]:
        """Offers that you made or got."""
        return self.listed("/v1/offers", request=request, status=status, as_=as_)

    async def read_offer(self, offer: str) -> Offer:
        """One offer."""
        return cast(Offer, await self.get(f"/v1/offers/{offer}"))

    async def accept(
        self,
        offer: str,
        what: Acceptance | None = None,
        *,
        once: str | None = None,
        if_match: str | None = None,
    ) -> Offer:
        """Accept an offer, whole where `what` is left out; what is not accepted is freed."""
        path = f"/v1/offers/{offer}/accept"
        return cast(Offer, await self.post(path, what, once=once, if_match=if_match))

    async def decline(
        self,
        offer: str,
        reason: str | None = None,
        *,
        once: str | None = None,
        if_match: str | None = None,
    ) -> Offer:
        """Decline an offer."""
        path = f"/v1/offers/{offer}/decline"
        return cast(Offer, await self.post(path, why(reason), once=once, if_match=if_match))

    async def withdraw(
        self,
        offer: str,
        reason: str | None = None,
        *,
        decided_at: str | None = None,
        once: str | None = None,
        if_match: str | None = None,
    ) -> Offer:
        """Take an offer of your own back, as far as nothing has left.

        Give `decided_at` where the call may have waited: what was accepted since then stays.
        """
        path = f"/v1/offers/{offer}/withdraw"
        body = (why(reason) or {}) | ({"decided_at": decided_at} if decided_at else {})
        return cast(Offer, await self.post(path, body or None, once=once, if_match=if_match))

    async def release(
        self,
        offer: str,
        reason: str | None = None,
        *,
        once: str | None = None,
        if_match: str | None = None,
    ) -> Offer:
        """Free what is accepted and has not left: it is not needed any more."""
        path = f"/v1/offers/{offer}/release"
        return cast(Offer, await self.post(path, why(reason), once=once, if_match=if_match))


def why(reason: str | None) -> dict[str, str] | None:
    """The body of a verb that may have a reason."""
    return None if reason is None else {"reason": reason}
