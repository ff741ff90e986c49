"""The command line: makes commands, shows records, decides nothing."""

from flyball.cli.entry import main as main
