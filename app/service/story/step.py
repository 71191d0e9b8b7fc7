"""One call of the story, and who plays."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HELPER, ASKER = "AZE", "TUR"


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the story.

    `uses` names the example where an operation has several uses; `gives` tells which specimen
    stands for which place of the answer (`lines/0/id`). A `sheet` is sent as a file of
    CSV. A step that is not `shown` only prepares.
    """

    by: str
    operation: str
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    sheet: str | None = None
    uses: str = "example"
    summary: str = ""
    gives: Mapping[str, str] = field(default_factory=dict)
    shown: bool = True
