"""Incoming webhooks as Slack takes them, and Mattermost, Rocket.Chat and others after it: a text of mrkdwn."""

from __future__ import annotations

import re

from flyball.clock import Instant
from flyball.declare.routes import Route
from flyball.incidents.channels.request import Request, posted
from flyball.records.deliveries import Message

_MARKS = {"critical": ":red_circle:", "warning": ":large_yellow_circle:", "info": ":large_blue_circle:"}

_MARKDOWN = re.compile(r"[@~]|\](?=[(\[:])|:/(?=/)|www(?=\.)", re.IGNORECASE)
"""Where Mattermost and Rocket.Chat, which read Markdown, see a mention, a link, a picture or an address: it is broken up after this."""


def request(message: Message, route: Route, secret: str, _now: Instant) -> Request:
    """The text that tells a message. The webhook's address is a secret itself, where it is not `url`."""
    mark = ":large_green_circle:" if message.act == "resolve" else _MARKS[message.severity]
    owner = f"owner {escaped(message.owner)} · " if message.owner else ""
    link = f" · <{message.link}|{escaped(message.model)}>" if message.link else ""
    text = (
        f"{mark} *{escaped(message.title)}*\n{escaped(message.text)}\n{owner}`{escaped(message.command)}`{link} · {escaped(message.thread)}"
    )
    return posted(secret or route.url, {"text": text})


def escaped(text: str) -> str:
    """A text of ours or of a user's that mentions nobody, links nowhere and is not bold by chance."""
    plain = _MARKDOWN.sub("\\g<0>\N{ZERO WIDTH SPACE}", text)
    plain = plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace("*", "∗").replace("`", "ˋ").replace("\n", " ")
