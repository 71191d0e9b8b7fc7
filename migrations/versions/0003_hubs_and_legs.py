"""hubs and legs

Revision ID: 0003
Revises: 0002
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""

    op.create_table(
        "hubs",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_hubs")),
    )
    op.create_table(
        "legs",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("start_hub", sa.Text(), nullable=False),
        sa.Column("end_hub", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("hours", sa.Float(), nullable=False),
        sa.Column("border_hours", sa.Float(), nullable=False),
        sa.Column("cost_per_tonne", sa.Float(), nullable=False),
        sa.Column("capacity_t", sa.Float(), nullable=True),
        sa.Column("months", postgresql.ARRAY(sa.SmallInteger()), nullable=True),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("mode IN ('road', 'air', 'rail', 'sea')", name=op.f("ck_legs_mode")),
        sa.CheckConstraint(
            "hours > 0 AND border_hours >= 0 AND cost_per_tonne >= 0", name=op.f("ck_legs_measures")
        ),
        sa.CheckConstraint("start_hub <> end_hub", name=op.f("ck_legs_ends")),
        sa.ForeignKeyConstraint(["end_hub"], ["hubs.code"], name=op.f("fk_legs_end_hub")),
        sa.ForeignKeyConstraint(["start_hub"], ["hubs.code"], name=op.f("fk_legs_start_hub")),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_legs")),
    )
    op.create_index(op.f("ix_legs_end_hub"), "legs", ["end_hub"], unique=False)
    op.create_index(op.f("ix_legs_start_hub"), "legs", ["start_hub"], unique=False)


def downgrade() -> None:
    """Undo."""

    op.drop_index(op.f("ix_legs_start_hub"), table_name="legs")
    op.drop_index(op.f("ix_legs_end_hub"), table_name="legs")
    op.drop_table("legs")
    op.drop_table("hubs")
