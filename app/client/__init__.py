"""A Python client of the exchange: typed, async, and safe over poor links."""
