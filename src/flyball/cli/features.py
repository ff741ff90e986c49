"""`flyball features`: the values that models get from feature views."""

from __future__ import annotations

from flyball.cli import common
from flyball.cli.verify import verify

app = common.app()


@app.callback()
def features() -> None:
    """Feature views, and what they were served as."""


app.command()(verify)
