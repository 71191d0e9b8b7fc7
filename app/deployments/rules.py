"""States of a deployment, and when its manifest is erased. Pure."""

from datetime import timedelta

MOVES: dict[str, frozenset[str]] = {
    "mobilise": frozenset({"planned"}),
    "arrive": frozenset({"mobilised"}),
    "extend": frozenset({"planned", "mobilised", "deployed"}),
    "release": frozenset({"deployed"}),
    "return": frozenset({"released"}),
    "cancel": frozenset({"planned", "mobilised"}),
    "name": frozenset({"planned", "mobilised", "deployed"}),
}
"""Which verb is allowed in which states."""

RESULT = {
    "mobilise": "mobilised",
    "arrive": "deployed",
    "release": "released",
    "return": "returned",
    "cancel": "cancelled",
}
"""The state that a verb leads to."""

MANIFEST_KEPT = timedelta(days=30)
"""How long the names of the people are kept after they are back home."""


def answers_extension(asked_by: str | None, society: str) -> bool:
    """An extension is answered by the party that did not ask for it."""
    return asked_by is not None and asked_by != society
