"""Frozen values that stages exchange, one file a vocabulary."""
