"""The command line: makes commands, shows records, decides nothing."""

from flyball.cli.main import main as main
