"""`python -m app.connector`: the connector alone, without loading the service."""

from app.connector.cli import connector

connector()
