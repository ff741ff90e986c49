"""Ports and backends of what is kept: SQL and blobs by content hash."""
