"""The command line: makes commands, shows records, decides nothing."""
