"""The commands, the tick, and the backtest: the same tick in virtual time."""
