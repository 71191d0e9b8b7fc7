"""references in one spelling

Revision ID: 0006
Revises: 0005

A reference that came in decomposed (NFD) is found under its composed form (NFC) from now on. Where
both are there already, the composed one stays what it is; the other is withdrawn by an import with
`mode=replace`, which does not list it. Idempotent, and without any change of a table.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""

    for table in ("sites", "lots", "pools", "requests"):
        # Of several spellings that become one, the oldest gets it.
        op.execute(
            f"""
            WITH other AS (
                SELECT DISTINCT ON (society, normalize(ref, NFC)) id, society,
                       normalize(ref, NFC) AS ref
                FROM {table} WHERE ref IS NOT NFC NORMALIZED
                ORDER BY society, normalize(ref, NFC), id
            )
            UPDATE {table} t SET ref = o.ref FROM other o
            WHERE t.id = o.id AND NOT EXISTS (
                SELECT FROM {table} s WHERE s.society = o.society AND s.ref = o.ref)
            """
        )


def downgrade() -> None:
    """Take back: which spelling it was is not known any more, and both are taken."""
