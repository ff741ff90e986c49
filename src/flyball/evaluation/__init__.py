"""Metrics with intervals, slices, gates."""
