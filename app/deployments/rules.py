"""States of a deployment, and when its manifest is erased. Pure."""

from datetime import timedelta

MOVES: dict[str, frozenset[str]] = {
    "mobilise": frozenset({"planned"}),
    "arrive": frozenset({"mobilised"}),
    "extend": frozenset({"planned", "mobilised", "deployed"}),
    "release": frozenset({"deployed"}),
    "recall": frozenset({"deployed"}),
    "return": frozenset({"released"}),
    "cancel": frozenset({"planned", "mobilised"}),
    "name": frozenset({"planned", "mobilised", "deployed"}),
}
"""Which verb is allowed in which states."""

RESULT = {
    "mobilise": "mobilised",
    "arrive": "deployed",
    "release": "released",
    "recall": "released",
    "return": "returned",
    "cancel": "cancelled",
}
"""The state that a verb leads to."""

TOLD = {"recall": "recalled"}
"""What the ledger calls a verb whose event is not named by the state."""

MANIFEST_KEPT = timedelta(days=30)
"""How long the names of the people are kept after they are back home, or, where nobody says that
they are, after the time that was agreed."""
MANIFEST_KEPT_AT_MOST = timedelta(days=180)
"""How long they are kept at most after the time that was agreed, whenever the people came back."""


def answers_extension(asked_by: str | None, society: str) -> bool:
    """An extension is answered by the party that did not ask for it."""
    return asked_by is not None and asked_by != society
