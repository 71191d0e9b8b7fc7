"""The journeys of goods and people: consignments and deployments."""

from collections.abc import AsyncGenerator
from typing import Literal, cast

from app.client.agreed import Checkpoint, Consignment, Deployment, Manifest
from app.client.calling import Caller
from app.client.given import (
    CheckpointInput,
    ConsignmentInput,
    DeploymentInput,
    ExtensionInput,
    ManifestInput,
    ReceiptInput,
)
from app.client.helping import why


class Journeys(Caller):
    """Consignments and deployments. `once` is the Idempotency-Key, made anew where None."""

    async def plan_consignment(
        self, consignment: ConsignmentInput, *, once: str | None = None
    ) -> Consignment:
        """Plan a journey of accepted goods."""
        return cast(Consignment, await self.post("/v1/consignments", consignment, once=once))

    def consignments(
        self, *, offer: str | None = None, status: str | None = None
    ) -> AsyncGenerator[Consignment, None]:
        """Journeys of goods, from you or to you."""
        return self.listed("/v1/consignments", offer=offer, status=status)

    async def read_consignment(self, consignment: str) -> Consignment:
        """One journey of goods."""
        return cast(Consignment, await self.get(f"/v1/consignments/{consignment}"))

    async def dispatch(self, consignment: str, *, once: str | None = None) -> Consignment:
        """It leaves."""
        path = f"/v1/consignments/{consignment}/dispatch"
        return cast(Consignment, await self.post(path, once=once))

    async def report_checkpoint(
        self, consignment: str, seen: CheckpointInput, *, once: str | None = None
    ) -> Consignment:
        """It was seen on its way."""
        path = f"/v1/consignments/{consignment}/checkpoints"
        return cast(Consignment, await self.post(path, seen, once=once))

    def checkpoints(self, consignment: str) -> AsyncGenerator[Checkpoint, None]:
        """Everywhere that it was seen, the latest first."""
        return self.listed(f"/v1/consignments/{consignment}/checkpoints")

    async def consignment_arrived(
        self, consignment: str, *, once: str | None = None
    ) -> Consignment:
        """It is there and not counted yet."""
        path = f"/v1/consignments/{consignment}/arrive"
        return cast(Consignment, await self.post(path, once=once))

    async def receive(
        self, consignment: str, receipt: ReceiptInput, *, once: str | None = None
    ) -> Consignment:
        """Sign for it; must add up to what was dispatched."""
        path = f"/v1/consignments/{consignment}/receive"
        return cast(Consignment, await self.post(path, receipt, once=once))

    async def cancel_consignment(
        self, consignment: str, reason: str | None = None, *, once: str | None = None
    ) -> Consignment:
        """It does not leave after all."""
        path = f"/v1/consignments/{consignment}/cancel"
        return cast(Consignment, await self.post(path, why(reason), once=once))

    async def lose_consignment(
        self, consignment: str, reason: str | None = None, *, once: str | None = None
    ) -> Consignment:
        """It is lost on its way."""
        path = f"/v1/consignments/{consignment}/lost"
        return cast(Consignment, await self.post(path, why(reason), once=once))

    async def plan_deployment(
        self, deployment: DeploymentInput, *, once: str | None = None
    ) -> Deployment:
        """Plan that accepted people come."""
        return cast(Deployment, await self.post("/v1/deployments", deployment, once=once))

    def deployments(
        self, *, offer: str | None = None, status: str | None = None
    ) -> AsyncGenerator[Deployment, None]:
        """People from you or with you."""
        return self.listed("/v1/deployments", offer=offer, status=status)

    async def read_deployment(self, deployment: str) -> Deployment:
        """One deployment."""
        return cast(Deployment, await self.get(f"/v1/deployments/{deployment}"))

    async def mobilise(self, deployment: str, *, once: str | None = None) -> Deployment:
        """The people are on their way."""
        path = f"/v1/deployments/{deployment}/mobilise"
        return cast(Deployment, await self.post(path, once=once))

    async def deployment_arrived(self, deployment: str, *, once: str | None = None) -> Deployment:
        """The people are there."""
        path = f"/v1/deployments/{deployment}/arrive"
        return cast(Deployment, await self.post(path, once=once))

    async def ask_extension(
        self, deployment: str, extension: ExtensionInput, *, once: str | None = None
    ) -> Deployment:
        """Ask whether the people may stay longer, or say that they would."""
        path = f"/v1/deployments/{deployment}/extension"
        return cast(Deployment, await self.post(path, extension, once=once))

    async def answer_extension(
        self,
        deployment: str,
        answer: Literal["accept", "decline"],
        reason: str | None = None,
        *,
        once: str | None = None,
    ) -> Deployment:
        """Agree to an extension that the other party asked for, or not."""
        body = why(reason) if answer == "decline" else None
        path = f"/v1/deployments/{deployment}/extension/{answer}"
        return cast(Deployment, await self.post(path, body, once=once))

    async def release_deployment(
        self, deployment: str, reason: str | None = None, *, once: str | None = None
    ) -> Deployment:
        """Let the people go, with thanks."""
        path = f"/v1/deployments/{deployment}/release"
        return cast(Deployment, await self.post(path, why(reason), once=once))

    async def recall_deployment(
        self, deployment: str, reason: str | None = None, *, once: str | None = None
    ) -> Deployment:
        """Call your people home, whether or not they were released."""
        path = f"/v1/deployments/{deployment}/recall"
        return cast(Deployment, await self.post(path, why(reason), once=once))

    async def bring_back(self, deployment: str, *, once: str | None = None) -> Deployment:
        """The people are home again."""
        path = f"/v1/deployments/{deployment}/return"
        return cast(Deployment, await self.post(path, once=once))

    async def cancel_deployment(
        self, deployment: str, reason: str | None = None, *, once: str | None = None
    ) -> Deployment:
        """The people do not come after all."""
        path = f"/v1/deployments/{deployment}/cancel"
        return cast(Deployment, await self.post(path, why(reason), once=once))

    async def seal_manifest(
        self, deployment: str, manifest: ManifestInput, *, if_match: str | None = None
    ) -> Manifest:
        """Name the people: for the two parties alone."""
        path = f"/v1/deployments/{deployment}/manifest"
        return cast(Manifest, await self.put(path, manifest, if_match))

    async def read_manifest(self, deployment: str) -> Manifest:
        """Who comes."""
        return cast(Manifest, await self.get(f"/v1/deployments/{deployment}/manifest"))
