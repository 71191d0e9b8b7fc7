"""Plan: who could help soonest, and how well the network is prepared."""

from typing import cast

from app.client.calling import Caller
from app.client.planned import (
    Plan,
    PlanInput,
    Preparedness,
    ScenarioInput,
    Screening,
    ScreeningInput,
)


class Planning(Caller):
    """Plans. Nothing is reserved or stored by them."""

    async def matches(
        self, request: str, *, at: str | None = None, time_limit: float | None = None
    ) -> Plan:
        """A plan for one request: who could cover what."""
        path = f"/v1/requests/{request}/matches"
        return cast(Plan, await self.get(path, at=at, time_limit=time_limit))

    async def plan(
        self, emergency: str, question: PlanInput | None = None, *, once: str | None = None
    ) -> Plan:
        """A plan for all that is open in an emergency, with suppositions where you like."""
        path = f"/v1/emergencies/{emergency}/plan"
        return cast(Plan, await self.post(path, question, once=once))

    async def preparedness(
        self, scenario: ScenarioInput, *, once: str | None = None
    ) -> Preparedness:
        """How well the network is prepared for a disaster that might happen."""
        return cast(Preparedness, await self.post("/v1/preparedness", scenario, once=once))

    async def screen_offer(self, offer: ScreeningInput, *, once: str | None = None) -> Screening:
        """Whether an unsolicited offer would be needed, before it is made."""
        return cast(Screening, await self.post("/v1/offers/screening", offer, once=once))
