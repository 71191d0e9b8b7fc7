"""GLIDE numbers of open emergencies, checkpoints by time, answers by age, codes of societies

Revision ID: 0005
Revises: 0004
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    # By the same name, so that the version before, which still runs while hosts are exchanged,
    # knows what is violated.
    op.drop_constraint("uq_emergencies_glide", "emergencies", type_="unique")
    op.create_index(
        "uq_emergencies_glide",
        "emergencies",
        ["glide"],
        unique=True,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index(
        "ix_checkpoints_consignment_at",
        "checkpoints",
        ["consignment", "at", "id"],
        unique=False,
    )
    op.drop_index("ix_checkpoints_consignment", table_name="checkpoints")
    op.drop_index("ix_idempotency_answers_created_at", table_name="idempotency_answers")
    op.create_index(
        "ix_idempotency_answers_created_at", "idempotency_answers", ["created_at"], unique=False
    )
    # It stood in the code and never in a database.
    op.create_check_constraint(op.f("ck_societies_id"), "societies", "id ~ '^[A-Z]{3}$'")


def downgrade() -> None:
    """Undo. Refused where a GLIDE number was used again."""
    op.drop_constraint(op.f("ck_societies_id"), "societies", type_="check")
    op.drop_index("ix_idempotency_answers_created_at", table_name="idempotency_answers")
    op.create_index(
        "ix_idempotency_answers_created_at",
        "idempotency_answers",
        ["created_at"],
        unique=False,
        postgresql_using="brin",
    )
    op.create_index("ix_checkpoints_consignment", "checkpoints", ["consignment"], unique=False)
    op.drop_index("ix_checkpoints_consignment_at", table_name="checkpoints")
    op.drop_index("uq_emergencies_glide", table_name="emergencies")
    op.create_unique_constraint("uq_emergencies_glide", "emergencies", ["glide"])
