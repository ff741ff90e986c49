"""The control plane's HTTP face: makes commands, shows records, decides nothing."""
