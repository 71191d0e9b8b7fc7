"""Disasters, to which requests belong."""
