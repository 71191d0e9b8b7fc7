"""The connector: a small command beside a society's own system, between it and the exchange."""
