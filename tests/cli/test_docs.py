"""What the command line has is in the docs: every verb, option, error code and setting."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import typer

from flyball.cli.main import VERBS
from flyball.settings import Settings

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
SHARED = "Options of many verbs"


def sections() -> dict[str, str]:
    """Heading's first word → the text below it."""
    parts = re.split(r"^## (.+)$", (DOCS / "cli.md").read_text(), flags=re.MULTILINE)
    return {heading if heading == SHARED else heading.split()[0]: text for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def commands(verb: str) -> Iterator[tuple[str, Any]]:
    command: Any = typer.main.get_command(importlib.import_module(VERBS[verb][0]).app)
    yield from getattr(command, "commands", {"": command}).items()


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_a_section_with_all_its_subverbs_and_options(verb: str) -> None:
    text = sections()[verb]
    if importlib.util.find_spec(VERBS[verb][0]) is None:
        pytest.skip(f"{verb} is not built yet")
    for name, command in commands(verb):
        assert not name or f"`{verb} {name}" in text, name
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                shared = option in ("--project", "--env", "--json", "--quiet", "--help")
                assert not option.startswith("--") or f"`{option}" in (sections()[SHARED] if shared else text), option


def test_an_option_that_is_documented_exists() -> None:
    known = {
        option
        for verb in VERBS
        if importlib.util.find_spec(VERBS[verb][0])
        for _, command in commands(verb)
        for one in command.params
        for option in (*one.opts, *one.secondary_opts)
    } | {"--help", "--version", "--keep", "--sabotage"}
    written = set(re.findall(r"`(?:flyball )?(?:VERB )?(--[a-z-]+)", (DOCS / "cli.md").read_text()))
    assert written <= known


def test_every_verb_says_in_its_help_what_it_and_its_options_do() -> None:
    for verb in VERBS:
        if importlib.util.find_spec(VERBS[verb][0]):
            for name, command in commands(verb):
                assert command.help, f"{verb} {name}"
                assert [one.name for one in command.params if not getattr(one, "help", "")] == [], f"{verb} {name}"


def test_every_error_code_is_documented() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "src" / "flyball").rglob("*.py"))
    codes = set(re.findall(r'\bcode ?= ?"([a-z-]+)"', source))
    text = (DOCS / "errors.md").read_text()
    assert len(codes) > 10
    assert [code for code in sorted(codes) if f'<a id="{code}"></a>`{code}`' not in text] == []
    assert [code for code in re.findall(r'<a id="([a-z-]+)">', text) if code not in codes] == []


def test_every_setting_is_documented_with_its_default_and_unit() -> None:
    text = (DOCS / "settings.md").read_text()
    for item in fields(Settings):
        assert (
            f"| `{item.name}` | {'–' if item.default == '' else item.default} | {item.metadata['unit']} | {item.metadata['meaning']} |"
            in text
        )
