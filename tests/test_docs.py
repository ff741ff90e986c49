"""Docs are held to the code: what exists is documented, what is documented exists, and nothing names the machine it was written on."""

import ast
import asyncio
import importlib.util
import os
import re
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from urllib.parse import urlparse

import pytest
import yaml

from flyball.loop import folds
from flyball.loop.checking import check_project
from flyball.loop.folds import FOLDS
from flyball.records.base import Event, Fold
from flyball.records.vocabulary import KINDS
from flyball.serving import http
from flyball.serving.limits import Limits

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
SOURCE = ROOT / "src" / "flyball"


def tracked() -> list[Path]:
    """Files of the repository; without git, what lies in its folders."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        inside = [path for folder in ("src", "tests", "docs", "benchmarks", "examples", "scripts") for path in (ROOT / folder).rglob("*")]
        return [path for path in (*inside, *ROOT.glob("*.*")) if path.is_file() and "__pycache__" not in path.parts]
    return [path for name in listed.decode().split("\0") if name and (path := ROOT / name).is_file()]


PAGES = sorted(path for path in tracked() if path.suffix == ".md")


def module_at(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = module_at(ROOT / "scripts" / "generate_docs.py")


@pytest.mark.parametrize("name", generator.PAGES)
def test_a_generated_page_says_what_the_code_says(name: str) -> None:
    assert (DOCS / name).read_text() == generator.PAGES[name](), "run: python scripts/generate_docs.py"


def test_every_kind_of_event_is_documented_and_means_something() -> None:
    text = (DOCS / "events.md").read_text()
    assert [tag for tag, kind in KINDS.items() if f"### `{tag}`" not in text or not kind.__doc__] == []


def test_every_kind_of_event_has_exactly_one_fold() -> None:
    assert set(FOLDS) == set(KINDS.values())
    stages: list[Mapping[type[Event], Fold]] = [
        table for name, table in vars(folds).items() if name.isupper() and name != "FOLDS" and isinstance(table, Mapping)
    ]
    own = [name for name in vars(folds) if name.startswith("fold_")]
    assert len(stages) >= 7
    assert sum(map(len, stages)) + len(own) == len(FOLDS), "a kind that two stages fold is folded by the last one alone"


def test_every_route_of_the_gateway_is_documented_with_a_call() -> None:
    text = (DOCS / "http.md").read_text()
    for route in http.ROUTES:
        method, path = route.split()
        assert f"`{route}`" in text
        call = f"curl -s localhost:7117{path.replace('{model}', 'late-loads')}"
        lines = [line for line in text.splitlines() if line.partition(" -d ")[0] == call]
        assert lines, f"no {call}"
        assert all((" -d " in line) == (method == "POST") for line in lines)


def test_the_listed_routes_are_the_routes_there_are() -> None:
    calls = [node for node in ast.walk(ast.parse(Path(http.__file__).read_text())) if isinstance(node, ast.Call)]
    checks = [node for node in calls if isinstance(node.func, ast.Name) and node.func.id == "_method"]
    assert len(checks) == len(http.ROUTES), "a route was added or removed: ROUTES and docs/http.md name them all"


@pytest.mark.parametrize("route", http.ROUTES)
def test_a_listed_route_exists_and_takes_only_its_method(route: str) -> None:
    method, path = route.split()
    assert status("GET" if method == "POST" else "POST", path.replace("{model}", "any")) == 405


def status(method: str, path: str) -> int:
    """The status of a request to a gateway that serves nothing."""
    sent: list[Mapping[str, object]] = []

    async def send(message: Mapping[str, object]) -> None:
        sent.append(message)

    async def nothing(*_: object) -> dict[str, object]:
        return {"type": "http.request", "body": b""}

    gateway = http.Gateway(None, None, Limits(), nothing)  # type: ignore[arg-type]
    asyncio.run(gateway({"type": "http", "path": path, "method": method, "headers": []}, nothing, send))  # type: ignore[arg-type]
    found = sent[0]["status"]
    assert isinstance(found, int)
    return found


def links(page: Path) -> Iterator[str]:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    yield from re.findall(r"\]\(([^)\s]+)\)", text)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if urlparse(link).scheme:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{link} leads nowhere"
        assert not anchor or anchor in anchors(target), f"{link}: there is no such heading"


def test_every_page_is_in_the_index() -> None:
    listed = set(links(DOCS / "README.md"))
    assert [page.name for page in PAGES if page.parent == DOCS and page.name not in {"README.md", *listed}] == []


def test_every_page_that_the_code_names_exists() -> None:
    named = {
        (path.relative_to(ROOT), page)
        for path in tracked()
        if path.suffix in (".py", ".toml") and path != Path(__file__)
        for page in re.findall(r"docs/([\w-]+\.md)", path.read_text())
    }
    assert sorted(f"{path}: docs/{page}" for path, page in named if not (DOCS / page).exists()) == []


@pytest.mark.process
def test_the_loop_file_of_the_readme_passes_the_check(tmp_path: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (tmp_path / "flyball.toml").touch()
    (tmp_path / "loop.py").write_text(code)
    checked = check_project(tmp_path)
    assert [str(problem) for problem in (*checked.problems, *checked.warnings)] == []
    assert len(code.splitlines()) <= 40, "the first loop file that anybody sees is a short one"


def marks_of_this_machine() -> list[str]:
    """What must not be read in any file: where this tree lies, what this host is called, where its packages come from."""
    places = [str(ROOT), str(ROOT.parent), os.environ.get("FLYBALL_TEST_DATA", ""), os.environ.get("TMPDIR", "")]
    configured = [value for name, value in os.environ.items() if name.startswith(("PIP_", "UV_"))]
    configured += [file.read_text() for file in pip_files() if file.is_file()]
    urls = [urlparse(url) for text in configured for url in re.findall(r"\b(?:https?|file)://[^\s'\"]+", text)]
    places += [url.path for url in urls if url.scheme == "file"]
    hosts = {url.hostname or "" for url in urls} - {"pypi.org", "files.pythonhosted.org", "localhost", "127.0.0.1", ""}
    name = socket.gethostname()
    # a short name such as "runner" is also a word, and a folder such as "/src" may be anybody's
    own = [name] if len(name) > 7 and re.search(r"\d", name) else []
    # /dev/shm, where tests write, is on every Linux
    return [place for place in places if len(Path(place).parts) > 2 and place != "/dev/shm"] + sorted(hosts) + own


def pip_files() -> list[Path]:
    return [Path("/etc/pip.conf"), Path.home() / ".config/pip/pip.conf", Path.home() / ".pip/pip.conf"]


def test_no_file_names_the_machine_it_was_written_on() -> None:
    marks = [re.compile(rf"(?<![\w./-]){re.escape(mark)}(?![\w-])") for mark in marks_of_this_machine()]
    marks.append(re.compile(r"(?<![\w.])/(?:home|Users)/[a-z]\w+/"))
    found = []
    for path in tracked():
        text = path.read_text(errors="replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for mark in marks for match in mark.finditer(text)]
    assert found == []


def test_dependencies_are_pinned_by_version_only() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.\-]+==[\w.!+]+", line)] == []


def test_no_folder_of_the_package_is_a_left_over() -> None:
    folders = [path for path in SOURCE.rglob("*") if path.is_dir() and path.name != "__pycache__"]
    assert [str(path.relative_to(SOURCE)) for path in folders if not any(one.name != "__init__.py" for one in path.glob("*.*"))] == []


def test_the_workflow_of_the_page_on_pull_requests_is_whole() -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", (DOCS / "ci.md").read_text(), re.DOTALL)
    workflow = yaml.safe_load(text)
    assert set(workflow["jobs"]) == {"check", "comment"}
    assert workflow["permissions"] == {"contents": "read"}, "the job that runs a change's code may write nothing"
    runs = [step["run"] for step in workflow["jobs"]["check"]["steps"] if "run" in step]
    assert any(run.startswith("flyball check --ci --against .base") for run in runs)
