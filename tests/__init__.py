"""Tests: each is a sentence about the domain, held against the real service and PostgreSQL."""
