"""A job port and its local backend: guarded subprocesses."""
