"""Measures: how fast and how frugal the service is, each as a ratio in one run."""
