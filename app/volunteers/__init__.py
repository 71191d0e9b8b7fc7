"""Pools of volunteers, and the promises made of them over time."""
