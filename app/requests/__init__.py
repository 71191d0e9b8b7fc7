"""Requests: what a society asks the others for."""
