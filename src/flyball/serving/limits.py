"""The bounds of the data plane, in one table: meaning, unit, default and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How much a gateway takes and how long it waits."""

    body_bytes: int = 8 << 20
    """A larger request body is refused (413) while it is being read: one caller must not fill the memory."""

    discard_bytes: int = 64 << 20
    """Read and thrown away of a refused body, so that the caller reads the answer instead of a reset connection."""

    answer_s: float = 10.0
    """How long a champion may take; then its declared fallback value or 503."""

    challenger_s: float = 2.0
    """How long a challenger may take before the champion answers instead: short, for this wait is the caller's."""

    explain_rows: int = 100
    """Rows of one request for explanations: each may ask the model thousands of rows."""

    explain_open: int = 8
    """Requests for explanations that one version may have open at a gateway; more are told to come back: they are answered one after the other."""

    explain_s: float = 30.0
    """How long explanations may take before their caller is told that there are none: predictions go first, and a row may take a while."""

    shadow_queue: int = 256
    """Requests a shadow may have open; more are dropped, counted and logged: a shadow never slows an answer."""

    look_s: float = 0.05
    """How often a gateway looks for a new route table: with two reads a decision is in force in about 50 ms."""

    stale_s: float = 1.0
    """A gateway that has not looked for this long looks before it routes: nothing is routed by an older table."""

    connect_s: float = 0.5
    """How long a new route waits for its workers' sockets before it is taken as it is: less than what an acknowledgement may take."""

    warm_s: float = 120.0
    """How long a worker may take to start before that speaks against its version."""

    drain_s: float = 5.0
    """How long open requests may take after the gateway was told to stop."""

    forwarded: int = 128
    """Requests that may be under way to the control plane through one gateway: its streams of events hold one each."""

    forwarded_each: int = 64
    """How many of them one address may have, where other machines reach this one: nobody alone shuts the control plane for the others."""

    upload_s: float = 10.0
    """How long a request for the control plane may take to come: its body is small, and it holds one of those places."""

    forward_s: float = 60.0
    """How long the control plane may take to begin its answer: reading all loop files takes some seconds."""

    silence_s: float = 60.0
    """How long an answer of the control plane may be silent; a stream of events says something at least every 15 s."""
