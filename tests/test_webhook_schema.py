"""The tables of webhooks: up, down, up again, and no difference to what the code expects."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command

from app.embedded import EmbeddedPostgres
from app.service import serving


@pytest.fixture
def empty(scratch: Path) -> Iterator[str]:
    """A database of its own, with nothing in it."""
    postgres = EmbeddedPostgres(scratch / "empty")
    postgres.start()
    yield postgres.url
    postgres.stop()


def test_the_migration_goes_up_and_down_and_leaves_no_difference(empty: str) -> None:
    config = serving.alembic_config(empty)
    for _ in range(2):
        serving.migrate(empty)
        command.check(config)
        command.downgrade(config, "0001")
    serving.migrate(empty)
    command.check(config)
