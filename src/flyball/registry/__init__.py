"""Versions and what may be released."""
