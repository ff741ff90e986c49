"""Runs: splits, search, fit, packaging of artifacts."""
