"""Failure modes, playbooks, clocks."""
