"""A message as an e-mail in plain text: mails of one thread hang together by their ids."""

from __future__ import annotations

import hashlib
from email.message import EmailMessage
from email.policy import SMTP

from flyball.clock import rfc3339
from flyball.declare.routes import Route
from flyball.records.deliveries import Message

_DOMAIN = "flyball.invalid"
"""Ids are addresses that nobody has."""


def mail(message: Message, route: Route) -> EmailMessage:
    """The e-mail that tells a message. Its date is set by who sends it."""
    made = EmailMessage(policy=SMTP)
    thread = f"<{hashlib.sha256(message.thread.encode()).hexdigest()[:32]}@{_DOMAIN}>"
    made["From"] = route.sender
    made["To"] = ", ".join(route.to)
    made["Subject"] = f"[{message.severity}] {' '.join(message.title.split())}"
    made["Message-ID"] = f"<{message.message}@{_DOMAIN}>"
    made["In-Reply-To"] = made["References"] = thread
    made["Auto-Submitted"] = "auto-generated"
    if message.urgent and message.act == "trigger":
        made["Importance"] = "high"
    lines = [
        message.text,
        "",
        f"model     {', '.join(message.models) or message.model}",
        f"owner     {message.owner}",
        f"since     {rfc3339(message.since)}",
    ]
    lines += [f"thread    {message.thread}", f"command   {message.command}", *([f"link      {message.link}"] if message.link else [])]
    made.set_content("\n".join(lines) + "\n")
    return made
