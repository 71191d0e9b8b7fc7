"""The exchange as its own OpenAPI document tells it: operations, parameters, fields of bodies."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    """One method at one path."""

    method: str
    path: str
    parameters: tuple[Json, ...] = field(hash=False)
    body: Json | None = field(hash=False)
    statuses: frozenset[str]
    takes_a_file: bool = False

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def names(self, where: str) -> list[str]:
        return [p["name"] for p in self.parameters if p["in"] == where]


class Contract:
    """The document, with its references followed."""

    def __init__(self, document: Json) -> None:
        self.document = document

    def operations(self) -> list[Operation]:
        return [
            Operation(
                method.upper(),
                path,
                tuple(told.get("parameters", ())),
                self._body(told),
                frozenset(told["responses"]),
                "text/csv" in told.get("requestBody", {}).get("content", {}),
            )
            for path, methods in self.document["paths"].items()
            for method, told in methods.items()
        ]

    def _body(self, told: Json) -> Json | None:
        content = told.get("requestBody", {}).get("content", {})
        found: Json | None = content.get("application/json", {}).get("schema")
        return found

    def variants(self, schema: Json) -> list[Json]:
        """What a schema may be: its references followed, null left out."""
        if "$ref" in schema:
            target: Any = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            return self.variants(target)
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return [v for s in schema[word] for v in self.variants(s)]
        return [] if schema.get("type") == "null" else [schema]

    def fields(self, schema: Json, body: Any, at: str = "") -> Iterator[tuple[str, Json]]:
        """Every field that the schema knows, by pointer, along a body that is valid."""
        for variant in self.variants(schema):
            if variant.get("type") == "object" and isinstance(body, dict):
                properties = variant.get("properties", {})
                kind = properties.get("kind", {}).get("const")
                if kind is not None and body.get("kind") != kind:
                    continue
                for name, inner in properties.items():
                    yield f"{at}/{name}", inner
                    yield from self.fields(inner, body.get(name), f"{at}/{name}")
            elif variant.get("type") == "array" and isinstance(body, list):
                for n, element in enumerate(body):
                    yield f"{at}/{n}", variant["items"]
                    yield from self.fields(variant["items"], element, f"{at}/{n}")

    def kinds(self, schema: Json) -> frozenset[str]:
        """What kinds of value a field takes, roughly: what is worth trying there."""
        found = set()
        for variant in self.variants(schema):
            kind, form = variant.get("type"), variant.get("format")
            if kind in ("integer", "number"):
                found.add("number")
            elif kind == "array":
                found.add("list")
            elif kind == "boolean":
                found.add("flag")
            elif form == "uuid":
                found.add("id")
            elif form in ("date", "date-time"):
                found.add("date")
            elif "pattern" in variant or "enum" in variant or "const" in variant:
                found.add("code")
            elif kind == "string":
                found |= {"text", "code"}
        return frozenset(found)

    def example(self, schema: Json) -> Any:
        """A body from the document's own examples, for a route that no stage knows."""
        for variant in self.variants(schema):
            if variant.get("type") == "object":
                return {
                    name: self.example(inner)
                    for name, inner in variant.get("properties", {}).items()
                }
        examples = schema.get("examples") or [None]
        return examples[0]


def put(body: Any, pointer: str, value: Any) -> Any:
    """A copy of the body with another value at the pointer."""
    if not pointer:
        return value
    head, _, rest = pointer[1:].partition("/")
    rest = f"/{rest}" if rest else ""
    if isinstance(body, list):
        n = int(head)
        return [put(v, rest, value) if i == n else v for i, v in enumerate(body)]
    copy = dict(body or {})
    copy[head] = put(copy.get(head), rest, value)
    return copy


ABSENT = object()


def look(document: Any, pointer: str) -> Any:
    """What stands at the pointer; a negative number counts from the end. ABSENT where nothing."""
    for part in pointer.split("/")[1:]:
        if isinstance(document, list) and part.lstrip("-").isdigit():
            place = int(part)
            document = document[place] if -len(document) <= place < len(document) else ABSENT
        elif isinstance(document, dict):
            document = document.get(part, ABSENT)
        else:
            return ABSENT
    return document
