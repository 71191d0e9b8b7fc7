"""The exchange

Revision ID: 0001
Revises:
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "idempotency_answers",
        sa.Column("client", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("call", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", sa.Text(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replays", sa.Integer(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("client", "key", name=op.f("pk_idempotency_answers")),
    )
    op.create_index(
        "ix_idempotency_answers_created_at",
        "idempotency_answers",
        ["created_at"],
        unique=False,
        postgresql_using="brin",
    )
    op.create_table(
        "items",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("names", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("weight_kg", sa.Float(), nullable=True),
        sa.Column("volume_l", sa.Float(), nullable=True),
        sa.Column("perishable", sa.Boolean(), nullable=False),
        sa.Column("search", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_items")),
    )
    op.create_table(
        "records",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("n", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("client", sa.Uuid(), nullable=True),
        sa.Column("emergency", sa.Uuid(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("audience", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("private", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_records")),
        sa.UniqueConstraint("n", name=op.f("uq_records_n")),
    )
    op.create_table(
        "sealing",
        sa.Column("id", sa.Boolean(), nullable=False),
        sa.Column("mark", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id", name=op.f("ck_sealing_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sealing")),
    )
    op.create_table(
        "skills",
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("names", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("search", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_skills")),
    )
    op.create_table(
        "societies",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "role IN ('member', 'secretariat', 'observer')", name=op.f("ck_societies_role")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_societies")),
    )
    op.create_table(
        "clients",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["society"], ["societies.id"], name=op.f("fk_clients_society")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clients")),
    )
    op.create_index(op.f("ix_clients_society"), "clients", ["society"], unique=False)
    op.create_table(
        "emergencies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("hazard", sa.Text(), nullable=False),
        sa.Column("glide", sa.Text(), nullable=True),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("started_on", sa.Date(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('open', 'closed')", name=op.f("ck_emergencies_status")),
        sa.ForeignKeyConstraint(["society"], ["societies.id"], name=op.f("fk_emergencies_society")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emergencies")),
        sa.UniqueConstraint("glide", name="uq_emergencies_glide"),
    )
    op.create_index(
        "ix_emergencies_open",
        "emergencies",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_table(
        "packs",
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.CheckConstraint("quantity >= 1", name=op.f("ck_packs_quantity")),
        sa.ForeignKeyConstraint(["item"], ["items.code"], name=op.f("fk_packs_item")),
        sa.PrimaryKeyConstraint("item", "code", name=op.f("pk_packs")),
    )
    op.create_table(
        "seals",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("record", sa.Uuid(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("emergency", sa.Uuid(), nullable=True),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_seals")),
        sa.UniqueConstraint("record", name=op.f("uq_seals_record")),
    )
    op.create_index("ix_seals_type_seq", "seals", ["type", "seq"], unique=False)
    op.create_index(
        "ix_seals_emergency_seq",
        "seals",
        ["emergency", "seq"],
        unique=False,
        postgresql_where=sa.text("emergency IS NOT NULL"),
    )
    op.create_table(
        "sites",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["society"], ["societies.id"], name=op.f("fk_sites_society")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sites")),
        sa.UniqueConstraint("society", "ref", name="uq_sites_society_ref"),
    )
    op.create_table(
        "substitutes",
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("substitute", sa.Text(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("per", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("item <> substitute", name=op.f("ck_substitutes_other")),
        sa.CheckConstraint("quantity >= 1 AND per >= 1", name=op.f("ck_substitutes_ratio")),
        sa.ForeignKeyConstraint(["item"], ["items.code"], name=op.f("fk_substitutes_item")),
        sa.ForeignKeyConstraint(
            ["substitute"], ["items.code"], name=op.f("fk_substitutes_substitute")
        ),
        sa.PrimaryKeyConstraint("item", "substitute", name=op.f("pk_substitutes")),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client", sa.Uuid(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["client"], ["clients.id"], name=op.f("fk_keys_client")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_keys_digest")),
    )
    op.create_index(op.f("ix_keys_client"), "keys", ["client"], unique=False)
    op.create_table(
        "lots",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("site", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("keep_back", sa.BigInteger(), nullable=False),
        sa.Column("reserved", sa.BigInteger(), nullable=False),
        sa.Column("ceiling", sa.BigInteger(), nullable=False),
        sa.Column("lot_number", sa.Text(), nullable=True),
        sa.Column("expires_on", sa.Date(), nullable=True),
        sa.Column("unit_value", sa.Numeric(precision=14, scale=2), nullable=True),
        sa.Column("currency", sa.Text(), nullable=True),
        sa.Column("visible_to", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.CheckConstraint(
            "quantity >= 0 AND keep_back >= 0 AND reserved >= 0", name=op.f("ck_lots_counts")
        ),
        sa.CheckConstraint("reserved <= ceiling", name=op.f("ck_lots_ceiling")),
        sa.ForeignKeyConstraint(["item"], ["items.code"], name=op.f("fk_lots_item")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_lots_site")),
        sa.ForeignKeyConstraint(["society"], ["societies.id"], name=op.f("fk_lots_society")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lots")),
        sa.UniqueConstraint("society", "ref", name="uq_lots_society_ref"),
    )
    op.create_index(
        "ix_lots_all", "lots", ["id"], unique=False, postgresql_where=sa.text("NOT withdrawn")
    )
    op.create_index(
        "ix_lots_item",
        "lots",
        ["item", "id"],
        unique=False,
        postgresql_where=sa.text("NOT withdrawn"),
    )
    op.create_index(
        "ix_lots_owner",
        "lots",
        ["society", "id"],
        unique=False,
        postgresql_where=sa.text("NOT withdrawn"),
    )
    op.create_index("ix_lots_site", "lots", ["site", "item", "id"], unique=False)
    op.create_table(
        "pools",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=False),
        sa.Column("skill", sa.Text(), nullable=False),
        sa.Column("languages", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("headcount", sa.Integer(), nullable=False),
        sa.Column("available_from", sa.DateTime(timezone=True), nullable=False),
        sa.Column("available_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("notice_hours", sa.Integer(), nullable=False),
        sa.Column("site", sa.Uuid(), nullable=False),
        sa.Column("visible_to", postgresql.ARRAY(sa.Text()), nullable=True),
        sa.Column("as_of", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn", sa.Boolean(), nullable=False),
        sa.CheckConstraint("available_from < available_until", name=op.f("ck_pools_window")),
        sa.CheckConstraint("headcount >= 0", name=op.f("ck_pools_headcount")),
        sa.ForeignKeyConstraint(["site"], ["sites.id"], name=op.f("fk_pools_site")),
        sa.ForeignKeyConstraint(["skill"], ["skills.code"], name=op.f("fk_pools_skill")),
        sa.ForeignKeyConstraint(["society"], ["societies.id"], name=op.f("fk_pools_society")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pools")),
        sa.UniqueConstraint("society", "ref", name="uq_pools_society_ref"),
    )
    op.create_index(
        "ix_pools_owner",
        "pools",
        ["society", "id"],
        unique=False,
        postgresql_where=sa.text("NOT withdrawn"),
    )
    op.create_index(op.f("ix_pools_site"), "pools", ["site"], unique=False)
    op.create_index(
        "ix_pools_skill",
        "pools",
        ["skill", "id"],
        unique=False,
        postgresql_where=sa.text("NOT withdrawn"),
    )
    op.create_table(
        "requests",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("emergency", sa.Uuid(), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("ref", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("needed_by", sa.DateTime(timezone=True), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("country", sa.Text(), nullable=False),
        sa.Column("lat", sa.Float(), nullable=False),
        sa.Column("lon", sa.Float(), nullable=False),
        sa.Column("notes", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "priority IN ('critical', 'high', 'normal')", name=op.f("ck_requests_priority")
        ),
        sa.CheckConstraint(
            "status IN ('open', 'closed', 'cancelled')", name=op.f("ck_requests_status")
        ),
        sa.ForeignKeyConstraint(
            ["emergency"], ["emergencies.id"], name=op.f("fk_requests_emergency")
        ),
        sa.ForeignKeyConstraint(["society"], ["societies.id"], name=op.f("fk_requests_society")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_requests")),
        sa.UniqueConstraint("society", "ref", name="uq_requests_society_ref"),
    )
    op.create_index("ix_requests_emergency", "requests", ["emergency", "id"], unique=False)
    op.create_index(
        "ix_requests_ended",
        "requests",
        ["ended_at"],
        unique=False,
        postgresql_where=sa.text("status <> 'open'"),
    )
    op.create_index(
        "ix_requests_open",
        "requests",
        ["id"],
        unique=False,
        postgresql_where=sa.text("status = 'open'"),
    )
    op.create_index("ix_requests_society_id", "requests", ["society", "id"], unique=False)
    op.create_table(
        "offers",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("emergency", sa.Uuid(), nullable=False),
        sa.Column("request", sa.Uuid(), nullable=True),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("to_society", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("eta", sa.DateTime(timezone=True), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "status IN ('proposed', 'accepted', 'declined', 'withdrawn', 'expired', 'completed')",
            name=op.f("ck_offers_status"),
        ),
        sa.ForeignKeyConstraint(
            ["emergency"], ["emergencies.id"], name=op.f("fk_offers_emergency")
        ),
        sa.ForeignKeyConstraint(["request"], ["requests.id"], name=op.f("fk_offers_request")),
        sa.ForeignKeyConstraint(["society"], ["societies.id"], name=op.f("fk_offers_society")),
        sa.ForeignKeyConstraint(
            ["to_society"], ["societies.id"], name=op.f("fk_offers_to_society")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offers")),
    )
    op.create_index(
        "ix_offers_due",
        "offers",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("status = 'proposed'"),
    )
    op.create_index(
        "ix_offers_unsolicited",
        "offers",
        ["emergency"],
        unique=False,
        postgresql_where=sa.text("request IS NULL"),
    )
    op.create_index(
        "ix_offers_live",
        "offers",
        ["status"],
        unique=False,
        postgresql_where=sa.text("status IN ('proposed', 'accepted')"),
    )
    op.create_index("ix_offers_request", "offers", ["request", "id"], unique=False)
    op.create_index("ix_offers_society", "offers", ["society", "id"], unique=False)
    op.create_index("ix_offers_to_society", "offers", ["to_society", "id"], unique=False)
    op.create_table(
        "promises",
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("pool", sa.Uuid(), nullable=False),
        sa.Column("headcount", sa.Integer(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("beneficiary", sa.Text(), nullable=False),
        sa.CheckConstraint("from_at < until_at", name=op.f("ck_promises_window")),
        sa.CheckConstraint("headcount >= 0", name=op.f("ck_promises_headcount")),
        sa.ForeignKeyConstraint(["pool"], ["pools.id"], name=op.f("fk_promises_pool")),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_promises")),
    )
    op.create_index(
        "ix_promises_pool",
        "promises",
        ["pool", "until_at"],
        unique=False,
        postgresql_where=sa.text("headcount > 0"),
    )
    op.create_table(
        "request_lines",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("request", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("item", sa.Text(), nullable=True),
        sa.Column("accept_substitutes", sa.Boolean(), nullable=False),
        sa.Column("skill", sa.Text(), nullable=True),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("languages", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("requested", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("surplus", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("kind IN ('stock', 'volunteers')", name=op.f("ck_request_lines_kind")),
        sa.CheckConstraint(
            "accepted >= 0 AND accepted <= requested + surplus",
            name=op.f("ck_request_lines_accepted"),
        ),
        sa.ForeignKeyConstraint(["item"], ["items.code"], name=op.f("fk_request_lines_item")),
        sa.ForeignKeyConstraint(
            ["request"], ["requests.id"], name=op.f("fk_request_lines_request")
        ),
        sa.ForeignKeyConstraint(["skill"], ["skills.code"], name=op.f("fk_request_lines_skill")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_request_lines")),
        sa.UniqueConstraint("request", "position", name="uq_request_lines_position"),
    )
    op.create_table(
        "reservations",
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("lot", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("beneficiary", sa.Text(), nullable=False),
        sa.CheckConstraint("quantity >= 0", name=op.f("ck_reservations_quantity")),
        sa.ForeignKeyConstraint(["lot"], ["lots.id"], name=op.f("fk_reservations_lot")),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_reservations")),
    )
    op.create_index(
        "ix_reservations_lot",
        "reservations",
        ["lot"],
        unique=False,
        postgresql_where=sa.text("quantity > 0"),
    )
    op.create_table(
        "consignments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("offer", sa.Uuid(), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("to_society", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("mode", sa.Text(), nullable=False),
        sa.Column("carrier", sa.Text(), nullable=True),
        sa.Column("waybill", sa.Text(), nullable=True),
        sa.Column("eta", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dispatched_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "mode IN ('road', 'air', 'rail', 'sea')", name=op.f("ck_consignments_mode")
        ),
        sa.CheckConstraint(
            "status IN ('planned', 'dispatched', 'arrived', 'received', 'cancelled', 'lost')",
            name=op.f("ck_consignments_status"),
        ),
        sa.ForeignKeyConstraint(["offer"], ["offers.id"], name=op.f("fk_consignments_offer")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consignments")),
    )
    op.create_index("ix_consignments_offer", "consignments", ["offer"], unique=False)
    op.create_index("ix_consignments_society", "consignments", ["society", "id"], unique=False)
    op.create_index(
        "ix_consignments_to_society", "consignments", ["to_society", "id"], unique=False
    )
    op.create_table(
        "offer_lines",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("offer", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("request_line", sa.Uuid(), nullable=True),
        sa.Column("lot", sa.Uuid(), nullable=True),
        sa.Column("pool", sa.Uuid(), nullable=True),
        sa.Column("item", sa.Text(), nullable=True),
        sa.Column("unit", sa.Text(), nullable=True),
        sa.Column("skill", sa.Text(), nullable=True),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ratio_quantity", sa.BigInteger(), nullable=False),
        sa.Column("ratio_per", sa.BigInteger(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("planned", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("dispatched", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("received", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("damaged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lost", sa.BigInteger(), server_default="0", nullable=False),
        sa.CheckConstraint("(lot IS NULL) <> (pool IS NULL)", name=op.f("ck_offer_lines_source")),
        sa.CheckConstraint(
            "accepted >= 0 AND accepted <= quantity", name=op.f("ck_offer_lines_accepted")
        ),
        sa.CheckConstraint(
            "dispatched >= 0 AND dispatched <= planned", name=op.f("ck_offer_lines_dispatched")
        ),
        sa.CheckConstraint(
            "planned >= 0 AND planned <= accepted", name=op.f("ck_offer_lines_planned")
        ),
        sa.CheckConstraint(
            "received >= 0 AND damaged >= 0 AND lost >= 0 AND received + damaged + lost <= dispatched",
            name=op.f("ck_offer_lines_received"),
        ),
        sa.ForeignKeyConstraint(["lot"], ["lots.id"], name=op.f("fk_offer_lines_lot")),
        sa.ForeignKeyConstraint(["offer"], ["offers.id"], name=op.f("fk_offer_lines_offer")),
        sa.ForeignKeyConstraint(["pool"], ["pools.id"], name=op.f("fk_offer_lines_pool")),
        sa.ForeignKeyConstraint(
            ["request_line"], ["request_lines.id"], name=op.f("fk_offer_lines_request_line")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_offer_lines")),
        sa.UniqueConstraint("offer", "position", name="uq_offer_lines_position"),
    )
    op.create_table(
        "pledges",
        sa.Column("holder", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Uuid(), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("offered", sa.BigInteger(), nullable=False),
        sa.Column("accepted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("dispatched", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("received", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("damaged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("lost", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "dispatched >= 0 AND dispatched <= accepted", name=op.f("ck_pledges_dispatched")
        ),
        sa.CheckConstraint(
            "offered >= 0 AND accepted >= 0 AND accepted <= offered",
            name=op.f("ck_pledges_accepted"),
        ),
        sa.CheckConstraint(
            "received >= 0 AND damaged >= 0 AND lost >= 0 AND received + damaged + lost <= dispatched",
            name=op.f("ck_pledges_received"),
        ),
        sa.ForeignKeyConstraint(["line"], ["request_lines.id"], name=op.f("fk_pledges_line")),
        sa.PrimaryKeyConstraint("holder", name=op.f("pk_pledges")),
    )
    op.create_index(op.f("ix_pledges_line"), "pledges", ["line"], unique=False)
    op.create_table(
        "checkpoints",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("consignment", sa.Uuid(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["consignment"], ["consignments.id"], name=op.f("fk_checkpoints_consignment")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_checkpoints")),
    )
    op.create_index(
        op.f("ix_checkpoints_consignment"), "checkpoints", ["consignment"], unique=False
    )
    op.create_table(
        "consignment_lines",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("consignment", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("offer_line", sa.Uuid(), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("received", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("damaged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("missing", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("note", sa.Text(), nullable=True),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_consignment_lines_quantity")),
        sa.CheckConstraint(
            "received >= 0 AND damaged >= 0 AND missing >= 0 AND received + damaged + missing <= quantity",
            name=op.f("ck_consignment_lines_received"),
        ),
        sa.ForeignKeyConstraint(
            ["consignment"], ["consignments.id"], name=op.f("fk_consignment_lines_consignment")
        ),
        sa.ForeignKeyConstraint(
            ["offer_line"], ["offer_lines.id"], name=op.f("fk_consignment_lines_offer_line")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consignment_lines")),
        sa.UniqueConstraint("consignment", "position", name="uq_consignment_lines_position"),
    )
    op.create_table(
        "deployments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("offer", sa.Uuid(), nullable=False),
        sa.Column("offer_line", sa.Uuid(), nullable=False),
        sa.Column("society", sa.Text(), nullable=False),
        sa.Column("to_society", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("headcount", sa.Integer(), nullable=False),
        sa.Column("from_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("eta", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("extension_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("extension_by", sa.Text(), nullable=True),
        sa.Column("extension_reason", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("mobilised_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("arrived_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "answer IN ('accepted', 'declined')", name=op.f("ck_deployments_answer")
        ),
        sa.CheckConstraint(
            "status IN ('planned', 'mobilised', 'deployed', 'released', 'returned', 'cancelled')",
            name=op.f("ck_deployments_status"),
        ),
        sa.CheckConstraint(
            "(extension_until IS NULL) = (extension_by IS NULL)",
            name=op.f("ck_deployments_extension"),
        ),
        sa.CheckConstraint("from_at < until_at", name=op.f("ck_deployments_window")),
        sa.CheckConstraint("headcount > 0", name=op.f("ck_deployments_headcount")),
        sa.ForeignKeyConstraint(["offer"], ["offers.id"], name=op.f("fk_deployments_offer")),
        sa.ForeignKeyConstraint(
            ["offer_line"], ["offer_lines.id"], name=op.f("fk_deployments_offer_line")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
    )
    op.create_index("ix_deployments_offer", "deployments", ["offer"], unique=False)
    op.create_index(op.f("ix_deployments_offer_line"), "deployments", ["offer_line"], unique=False)
    op.create_index("ix_deployments_society", "deployments", ["society", "id"], unique=False)
    op.create_index("ix_deployments_to_society", "deployments", ["to_society", "id"], unique=False)
    op.create_table(
        "manifests",
        sa.Column("deployment", sa.Uuid(), nullable=False),
        sa.Column("content", sa.Text(), nullable=True),
        sa.Column("salt", sa.LargeBinary(), nullable=True),
        sa.Column("commitment", sa.LargeBinary(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(erased_at IS NULL) = (content IS NOT NULL) AND (content IS NULL) = (salt IS NULL)",
            name=op.f("ck_manifests_erased"),
        ),
        sa.ForeignKeyConstraint(
            ["deployment"], ["deployments.id"], name=op.f("fk_manifests_deployment")
        ),
        sa.PrimaryKeyConstraint("deployment", name=op.f("pk_manifests")),
    )
    op.create_index(
        "ix_manifests_kept",
        "manifests",
        ["deployment"],
        unique=False,
        postgresql_where=sa.text("erased_at IS NULL"),
    )
    # The ledger is append-only, whoever writes: a statement that would change it is refused.
    op.execute(
        """
        CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE EXCEPTION 'the ledger is append-only: % of % is refused', TG_OP, TG_TABLE_NAME
                USING ERRCODE = 'restrict_violation';
        END $$
        """
    )
    for table in ("records", "seals"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    # Rows that change often leave room on their page, so that a change need not touch an index.
    for table in ("lots", "request_lines", "pledges", "offers", "offer_lines", "reservations"):
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 80)")


def downgrade() -> None:
    """Undo."""
    for table in ("records", "seals"):
        op.execute(f"DROP TRIGGER append_only ON {table}")
    op.drop_index(
        "ix_manifests_kept", table_name="manifests", postgresql_where=sa.text("erased_at IS NULL")
    )
    op.drop_table("manifests")
    op.drop_index("ix_deployments_to_society", table_name="deployments")
    op.drop_index("ix_deployments_society", table_name="deployments")
    op.drop_index(op.f("ix_deployments_offer_line"), table_name="deployments")
    op.drop_index("ix_deployments_offer", table_name="deployments")
    op.drop_table("deployments")
    op.drop_table("consignment_lines")
    op.drop_index(op.f("ix_checkpoints_consignment"), table_name="checkpoints")
    op.drop_table("checkpoints")
    op.drop_index(op.f("ix_pledges_line"), table_name="pledges")
    op.drop_table("pledges")
    op.drop_table("offer_lines")
    op.drop_index("ix_consignments_to_society", table_name="consignments")
    op.drop_index("ix_consignments_society", table_name="consignments")
    op.drop_index("ix_consignments_offer", table_name="consignments")
    op.drop_table("consignments")
    op.drop_index(
        "ix_reservations_lot", table_name="reservations", postgresql_where=sa.text("quantity > 0")
    )
    op.drop_table("reservations")
    op.drop_table("request_lines")
    op.drop_index(
        "ix_promises_pool", table_name="promises", postgresql_where=sa.text("headcount > 0")
    )
    op.drop_table("promises")
    op.drop_index("ix_offers_to_society", table_name="offers")
    op.drop_index("ix_offers_society", table_name="offers")
    op.drop_index("ix_offers_request", table_name="offers")
    op.drop_index(
        "ix_offers_unsolicited",
        table_name="offers",
        postgresql_where=sa.text("request IS NULL"),
    )
    op.drop_index(
        "ix_offers_live",
        table_name="offers",
        postgresql_where=sa.text("status IN ('proposed', 'accepted')"),
    )
    op.drop_index(
        "ix_offers_due", table_name="offers", postgresql_where=sa.text("status = 'proposed'")
    )
    op.drop_table("offers")
    op.drop_index("ix_requests_society_id", table_name="requests")
    op.drop_index(
        "ix_requests_open", table_name="requests", postgresql_where=sa.text("status = 'open'")
    )
    op.drop_index(
        "ix_requests_ended", table_name="requests", postgresql_where=sa.text("status <> 'open'")
    )
    op.drop_index("ix_requests_emergency", table_name="requests")
    op.drop_table("requests")
    op.drop_index("ix_pools_skill", table_name="pools", postgresql_where=sa.text("NOT withdrawn"))
    op.drop_index(op.f("ix_pools_site"), table_name="pools")
    op.drop_index("ix_pools_owner", table_name="pools", postgresql_where=sa.text("NOT withdrawn"))
    op.drop_table("pools")
    op.drop_index("ix_lots_site", table_name="lots")
    op.drop_index("ix_lots_owner", table_name="lots", postgresql_where=sa.text("NOT withdrawn"))
    op.drop_index("ix_lots_item", table_name="lots", postgresql_where=sa.text("NOT withdrawn"))
    op.drop_index("ix_lots_all", table_name="lots", postgresql_where=sa.text("NOT withdrawn"))
    op.drop_table("lots")
    op.drop_index(op.f("ix_keys_client"), table_name="keys")
    op.drop_table("keys")
    op.drop_table("substitutes")
    op.drop_table("sites")
    op.drop_index(
        "ix_seals_emergency_seq",
        table_name="seals",
        postgresql_where=sa.text("emergency IS NOT NULL"),
    )
    op.drop_index("ix_seals_type_seq", table_name="seals")
    op.drop_table("seals")
    op.drop_table("packs")
    op.drop_index(
        "ix_emergencies_open", table_name="emergencies", postgresql_where=sa.text("status = 'open'")
    )
    op.drop_table("emergencies")
    op.drop_index(op.f("ix_clients_society"), table_name="clients")
    op.drop_table("clients")
    op.drop_table("societies")
    op.drop_table("skills")
    op.drop_table("sealing")
    op.drop_table("records")
    op.drop_table("items")
    op.drop_index(
        "ix_idempotency_answers_created_at",
        table_name="idempotency_answers",
        postgresql_using="brin",
    )
    op.drop_table("idempotency_answers")
    op.execute("DROP FUNCTION refuse_change()")
