"""Societies, clients, keys and scopes."""
