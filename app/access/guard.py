"""What a route declares about who may call it, and the caller as the route's code gets it."""

from typing import Annotated

from fastapi import Depends, Request

from app.access.actions import Caller
from app.access.rules import TAKES_PART
from app.errors import AppError


class May:
    """The permission that a route declares: any one of `scopes`, and one of `roles`.

    Checked before the body is read as anything but bytes, so that a caller without the scope
    learns nothing from the order of the errors. No scopes: any valid key.
    """

    def __init__(self, *scopes: str, roles: frozenset[str] | None = None) -> None:
        self.scopes = scopes
        self.roles = roles

    def check(self, caller: Caller) -> None:
        """Raise 403 where the caller may not."""
        if self.scopes and not caller.scopes.intersection(self.scopes):
            needed = " or ".join(f"`{s}`" for s in self.scopes)
            raise AppError("scope_missing", f"This needs the scope {needed}.")
        if self.roles is not None and caller.role not in self.roles:
            needed = " or ".join(sorted(self.roles))
            raise AppError("role_forbidden", f"This is open to the role {needed} alone.")

    async def __call__(self, request: Request) -> Caller:
        caller: Caller = request.state.caller
        return caller


_SECRETARIAT = frozenset({"secretariat"})

AnyClient = Annotated[Caller, Depends(May())]
Reader = Annotated[Caller, Depends(May("read"))]
Admin = Annotated[Caller, Depends(May("admin"))]
MasterData = Annotated[Caller, Depends(May("admin", roles=_SECRETARIAT))]
StockReader = Annotated[Caller, Depends(May("read", "stock:write"))]
StockWriter = Annotated[Caller, Depends(May("stock:write", roles=TAKES_PART))]
SiteWriter = Annotated[Caller, Depends(May("stock:write", "volunteers:write", roles=TAKES_PART))]
SiteReader = Annotated[Caller, Depends(May("read", "stock:write", "volunteers:write"))]
VolunteerReader = Annotated[Caller, Depends(May("read", "volunteers:write"))]
VolunteerWriter = Annotated[Caller, Depends(May("volunteers:write", roles=TAKES_PART))]
Requester = Annotated[Caller, Depends(May("requests:write", roles=TAKES_PART))]
Provider = Annotated[Caller, Depends(May("offers:write", roles=TAKES_PART))]
EitherParty = Annotated[Caller, Depends(May("requests:write", "offers:write", roles=TAKES_PART))]
