"""Offers: what a society answers with from its lots and pools."""
