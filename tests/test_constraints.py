"""Whatever the database refuses, the caller gets a problem that it can act on."""

from collections.abc import Iterator

import asyncpg
import pytest
from sqlalchemy import CheckConstraint, ForeignKeyConstraint, UniqueConstraint

import app.main
from app.db import CONSTRAINTS, metadata, refusal
from app.errors import CODES, AppError

assert app.main.ROOMS, "every room has told its tables"

KINDS = {
    CheckConstraint: asyncpg.CheckViolationError,
    UniqueConstraint: asyncpg.UniqueViolationError,
    ForeignKeyConstraint: asyncpg.ForeignKeyViolationError,
}


def constraints() -> Iterator[tuple[str, type[asyncpg.PostgresError]]]:
    for table in metadata.sorted_tables:
        for constraint in table.constraints:
            for kind, error in KINDS.items():
                if isinstance(constraint, kind):
                    name = str(constraint.name)
                    if kind is CheckConstraint and not name.startswith("ck_"):
                        name = f"ck_{table.name}_{name}"
                    yield name, error
        for index in table.indexes:
            if index.unique:
                yield str(index.name), asyncpg.UniqueViolationError


@pytest.mark.parametrize(("name", "kind"), list(constraints()))
def test_a_violated_constraint_is_a_problem_and_no_fault_of_ours(
    name: str, kind: type[asyncpg.PostgresError]
) -> None:
    violation = kind()
    violation.constraint_name = name
    problem = refusal(violation)
    assert isinstance(problem, AppError)
    assert problem.status_code < 500
    assert problem.problem is CODES[problem.code]


def test_every_named_constraint_stands_in_a_table() -> None:
    assert not set(CONSTRAINTS) - {name for name, _ in constraints()}
