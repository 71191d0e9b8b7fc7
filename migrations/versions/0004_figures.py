"""counts of their time, losses, people who are away, references of offers

Revision ID: 0004
Revises: 0003
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""

    op.create_table(
        "goods_issues",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("lot", sa.Uuid(), nullable=False),
        sa.Column("issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_goods_issues_quantity")),
        sa.ForeignKeyConstraint(["lot"], ["lots.id"], name=op.f("fk_goods_issues_lot")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_goods_issues")),
    )
    op.create_index("ix_goods_issues_lot", "goods_issues", ["lot", "issued_at"])
    # What left each lot since the count that stands.
    op.execute("""
        INSERT INTO goods_issues (id, lot, issued_at, quantity)
        SELECT uuidv7(), o.lot, c.dispatched_at, sum(l.quantity)
        FROM consignments c JOIN consignment_lines l ON l.consignment = c.id
        JOIN offer_lines o ON o.id = l.offer_line JOIN lots s ON s.id = o.lot
        WHERE c.dispatched_at > s.as_of
        GROUP BY o.lot, c.id, c.dispatched_at
    """)

    op.add_column(
        "request_lines",
        sa.Column("losses", sa.BigInteger(), server_default="0", nullable=False),
    )
    op.execute("""
        UPDATE request_lines l SET losses = p.losses
        FROM (SELECT line, sum(damaged + lost) AS losses FROM pledges GROUP BY line) p
        WHERE p.line = l.id AND p.losses > 0
    """)
    op.drop_constraint(op.f("ck_request_lines_accepted"), "request_lines", type_="check")
    op.create_check_constraint(
        op.f("ck_request_lines_accepted"),
        "request_lines",
        "losses >= 0 AND accepted >= losses AND accepted - losses <= requested + surplus",
    )

    op.add_column(
        "promises",
        sa.Column("away", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.execute("""
        UPDATE promises p SET away = true FROM deployments d
        WHERE d.id = p.holder AND d.status IN ('mobilised', 'deployed', 'released')
    """)
    op.create_index(
        "ix_promises_away",
        "promises",
        ["pool"],
        postgresql_where=sa.text("away AND headcount > 0"),
    )

    op.add_column("offers", sa.Column("ref", sa.Text(), nullable=True))
    op.add_column("offers", sa.Column("body_digest", sa.LargeBinary(), nullable=True))
    op.add_column(
        "offers",
        sa.Column("warnings", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False),
    )
    op.create_check_constraint(
        op.f("ck_offers_ref"), "offers", "(ref IS NULL) = (body_digest IS NULL)"
    )
    op.create_index(
        "uq_offers_society_ref",
        "offers",
        ["society", "ref"],
        unique=True,
        postgresql_where=sa.text("ref IS NOT NULL"),
    )


def downgrade() -> None:
    """Undo."""

    op.drop_index("uq_offers_society_ref", table_name="offers")
    op.drop_constraint(op.f("ck_offers_ref"), "offers", type_="check")
    op.drop_column("offers", "warnings")
    op.drop_column("offers", "body_digest")
    op.drop_column("offers", "ref")
    op.drop_index("ix_promises_away", table_name="promises")
    op.drop_column("promises", "away")
    op.drop_constraint(op.f("ck_request_lines_accepted"), "request_lines", type_="check")
    # What was accepted beyond the request after a loss is written down as agreed.
    op.execute("""
        UPDATE request_lines SET surplus = greatest(surplus, accepted - requested)
    """)
    op.create_check_constraint(
        op.f("ck_request_lines_accepted"),
        "request_lines",
        "accepted >= 0 AND accepted <= requested + surplus",
    )
    op.drop_column("request_lines", "losses")
    op.drop_index("ix_goods_issues_lot", table_name="goods_issues")
    op.drop_table("goods_issues")
