"""Kömek: the exchange through which Red Crescent societies share stock and volunteers."""

__version__ = "0.1.0"
