"""The schema: up from nothing, down to nothing, up again; and it is what the code believes."""

from concurrent.futures import ThreadPoolExecutor

from alembic import command

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
