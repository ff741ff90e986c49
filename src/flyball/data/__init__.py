"""Data sets by content hash, and their contracts."""
