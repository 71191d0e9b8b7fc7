"""Webhooks: each society's own systems are told what happened, by Standard Webhooks 1.0."""
