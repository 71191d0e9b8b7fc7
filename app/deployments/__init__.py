"""Volunteers of an accepted offer, from mobilisation to return."""
