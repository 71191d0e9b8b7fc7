"""Kömek: the exchange through which Red Crescent societies share stock and volunteers."""
