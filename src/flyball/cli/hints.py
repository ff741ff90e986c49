"""Commands in what people are told, as they must be typed: with the environment that the verb was given. Pure but for the note of which that is."""

from __future__ import annotations

import re
from collections.abc import Sequence

_GROUPS = "models|runs|rollouts|data|features|incidents|audit|token"
_WITHIN = (
    "list|show|compare|cancel|card|deprecate|quarantine|judge|delete|note|pause|resume|promote|abort|replay|diff|erase|materialise|verify"
)
_WITHIN += "|open|ack|resolve|review|prove|consistency|export|rebuild|create|revoke"
_ALONE = "check|apply|up|status|tick|train|approve|reject|waive|release|rollback|predict|label|lineage|backup|restore|gc"
_COMMAND = re.compile(rf"\bflyball (?:(?:{_GROUPS})(?: (?:{_WITHIN}))?|{_ALONE})\b(?! infer)(?![^;,\n]*--env)")


class Hints:
    """The environment that the verb under way was given (empty: none)."""

    env = ""

    def note(self, arguments: Sequence[str]) -> None:
        """Look for `--env NAME` on a command line."""
        self.env = ""
        for place, each in enumerate(arguments):
            if each.startswith("--env="):
                self.env = each.removeprefix("--env=")
            elif each == "--env" and place + 1 < len(arguments):
                self.env = arguments[place + 1]

    def told(self, text: str) -> str:
        """A text whose commands go to that environment; those that name one themselves keep it."""
        return within(text, self.env) if self.env and "flyball " in text else text


def within(text: str, env: str) -> str:
    """A text with `--env` behind each command of flyball that takes one."""
    return _COMMAND.sub(lambda found: f"{found.group()} --env {env}", text)


HINTS = Hints()
