"""The record: a Merkle tree of events, append, read, verify, rebuild."""
