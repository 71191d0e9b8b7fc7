"""Consignments: journeys of goods, from dispatch to receipt."""
