"""The schema: up from nothing, down to nothing, up again; and it is what the code believes."""

from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from alembic import command
from sqlalchemy import create_mock_engine
from sqlalchemy.dialects import postgresql

import app.main  # noqa: F401  (importing every room fills the metadata)
from app.db import metadata
from app.embedded import EmbeddedPostgres
from app.service import serving
from tests.processes import komek, make_database, run_sql

# Everything that a migration could leave behind, of whatever kind, and what belongs to no schema.
CATALOGUE = """
SELECT 'relation ' || n.nspname || '.' || c.relname || ' ' || c.relkind::text FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'function ' || p.oid::regprocedure FROM pg_proc p
    JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
UNION ALL SELECT 'type ' || t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND t.typtype IN ('e', 'd', 'r')
UNION ALL SELECT 'extension ' || extname FROM pg_extension
UNION ALL SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^pg_toast|^pg_temp'
UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal
UNION ALL SELECT 'constraint ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT 'index ' || indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT 'collation ' || collname FROM pg_collation
    WHERE collnamespace = 'public'::regnamespace
UNION ALL SELECT 'setting ' || unnest(setconfig) FROM pg_db_role_setting
    WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def catalogue(url: str) -> set[str]:
    """What there is in a database, but for alembic's own note of the version."""
    return {row[0] for row in run_sql(url, CATALOGUE) if "alembic_version" not in row[0]}


def test_the_schema_goes_up_down_to_nothing_and_up_again(postgres: EmbeddedPostgres) -> None:
    url = make_database(postgres, "updown")
    bare = catalogue(url)
    serving.migrate(url)
    whole = catalogue(url)
    assert len(whole) > len(bare) + 50
    serving.migrate(url, "base")
    assert catalogue(url) == bare
    serving.migrate(url)
    assert catalogue(url) == whole
    # `check` raises where the tables of the code and those of the database differ.
    command.check(serving.alembic_config(url))


# What a table promises: its columns, constraints and indexes, each with its name and definition.
PROMISES = """
SELECT 'column ' || attrelid::regclass || '.' || attname || ' ' || format_type(atttypid, atttypmod)
    || CASE WHEN attnotnull THEN ' not null' ELSE '' END
    || CASE WHEN attidentity <> '' THEN ' identity ' || attidentity::text ELSE '' END
    || coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), '') AS promise
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND attnum > 0
    AND NOT attisdropped
UNION ALL SELECT 'constraint ' || conname || ' on ' || conrelid::regclass || ' '
    || pg_get_constraintdef(oid)
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
"""


def test_every_constraint_and_index_of_the_code_stands_in_a_migrated_database(
    postgres: EmbeddedPostgres,
) -> None:
    migrated, made = make_database(postgres, "migrated"), make_database(postgres, "made")
    serving.migrate(migrated)
    statements: list[str] = []
    dialect = postgresql.asyncpg.dialect()  # type: ignore[no-untyped-call]
    recorder = create_mock_engine(
        "postgresql+asyncpg://",
        lambda statement, *_: statements.append(str(statement.compile(dialect=dialect))),
    )
    metadata.create_all(recorder, checkfirst=False)
    run_sql(made, *statements, "SELECT 1")
    ours, theirs = (
        {row[0] for row in run_sql(url, PROMISES) if "alembic_version" not in row[0]}
        for url in (made, migrated)
    )
    assert ours == theirs
    assert len([p for p in ours if p.startswith("constraint ck_")]) > 20


def test_a_society_has_the_code_that_the_contract_tells(postgres: EmbeddedPostgres) -> None:
    url = make_database(postgres, "coded")
    serving.migrate(url)
    with pytest.raises(asyncpg.CheckViolationError, match="ck_societies_id"):
        run_sql(url, "INSERT INTO societies VALUES ('tur', 'x', 'member')", "SELECT 1")


def test_every_migration_gives_up_soon_where_it_must_wait_for_a_lock(
    postgres: EmbeddedPostgres,
) -> None:
    url = make_database(postgres, "waiting")
    # What the setting is while the migrations change the schema, as the database saw it.
    run_sql(
        url,
        "CREATE TABLE seen (timeout text)",
        "CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS "
        "$$BEGIN INSERT INTO seen VALUES (current_setting('lock_timeout')); END$$",
        "CREATE EVENT TRIGGER ended ON ddl_command_end EXECUTE FUNCTION note()",
        "CREATE EVENT TRIGGER dropped ON sql_drop EXECUTE FUNCTION note()",
        "SELECT 1",
    )
    for revision in ("head", "base"):
        serving.migrate(url, revision)
        seen = run_sql(url, "SELECT timeout FROM seen")
        assert len(seen) > 20
        assert {row["timeout"] for row in seen} == {"10s"}
        run_sql(url, "TRUNCATE seen", "SELECT 1")


def test_copies_that_start_together_migrate_once(postgres: EmbeddedPostgres) -> None:
    url = make_database(postgres, "together")
    with ThreadPoolExecutor(2) as pool:
        ended = list(pool.map(lambda _: komek("migrate", KOMEK_DATABASE_URL=url), range(2)))
    assert [one.returncode for one in ended] == [0, 0], [one.stderr for one in ended]
    assert len(run_sql(url, "SELECT * FROM alembic_version")) == 1
