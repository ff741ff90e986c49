"""What cannot be read costs nobody the rest, and no answer says where on this machine anything lies."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import flyball
from flyball.api.outward import Outward, by_field
from flyball.errors import BadInput, NotFound, Problem, Unavailable
from flyball.loop.library import BlobLibrary
from flyball.records.declarations import DECLARATIONS, DeclarationApplied
from flyball.records.identity import Role

from .kit import Served


def declare(api: Served, name: str, text: bytes) -> str:
    """Have a model declared by these bytes; the blob that holds them."""
    row = api.wired.ledger.state().get(DECLARATIONS, "demand")
    body = api.wired.blobs.put(text)
    api.happened(
        DeclarationApplied(
            model=name, file="loop.py", version_digest="v", policy_digest="p", body=body, code=row.code, gates_digest="", author=""
        )
    )
    return body


@pytest.fixture
def unread(api: Served) -> None:
    """A model "lost", whose declaration is gone from the disk."""
    api.wired.blobs.remove(declare(api, "lost", b"a declaration"))


@pytest.mark.usefixtures("unread")
def test_a_declaration_that_cannot_be_read_leaves_the_other_models_and_is_named(api: Served) -> None:
    found = {one["model"]: one for one in api.get("/models").json()["items"]}
    assert set(found) == {"demand", "lost"}
    assert (found["demand"]["unread"], found["demand"]["task"]) == ("", "regression")
    assert found["lost"]["unread"].startswith("blob ")
    assert "restore it from a backup" in found["lost"]["unread"]
    assert (found["lost"]["task"], found["lost"]["file"]) == ("", "loop.py")
    assert api.get("/models/lost").json() == found["lost"]
    assert api.get("/models/lost/versions").json() == {"items": [], "next": None}
    assert api.get("/monitors/lost").json()["alerts"] == []


def test_a_declaration_of_another_format_leaves_the_other_models_and_is_named(api: Served) -> None:
    declare(api, "later", b'{"format": 99, "model": {}}')
    found = {one["model"]: one for one in api.get("/models").json()["items"]}
    assert (found["demand"]["unread"], found["demand"]["task"]) == ("", "regression")
    assert found["later"]["unread"] == "the declaration has format 99; apply it again"
    assert api.get("/models/later").json() == found["later"]
    assert len(api.get("/datasets", token=api.token("bo", Role.VIEWER, models=("later", "demand"))).json()["items"]) == 1


@pytest.mark.usefixtures("unread")
def test_data_sets_of_a_token_for_some_models_are_those_of_what_can_be_read(api: Served) -> None:
    secret = api.token("bo", Role.VIEWER, models=("lost", "demand"))
    assert len(api.get("/datasets", token=secret).json()["items"]) == 1
    assert api.get("/datasets", token=api.token("cy", Role.VIEWER, models=("lost",))).json()["items"] == []


@pytest.mark.usefixtures("unread")
def test_no_error_says_where_the_project_lies(api: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = api.post("/runs", {"model": "lost"})
    assert gone.status_code == 404
    assert ".flyball/blobs/" in gone.json()["detail"]

    def busy(*_: object) -> None:
        raise Unavailable(
            f"{api.wired.database.name} is busy",
            why=f"[Errno 5] Input/output error: '{api.wired.root}'",
            fix=f"look into {api.wired.root}/.flyball",
        )

    monkeypatch.setattr(BlobLibrary, "_model", busy)
    monkeypatch.setattr(type(api.wired.ledger), "state", busy)
    busily = api.get("/models")
    assert busily.status_code == 503
    assert busily.json()["detail"] == ".flyball/ledger.db is busy: [Errno 5] Input/output error: 'the project's folder'"
    for answer in (gone, busily):
        assert str(api.wired.root) not in answer.text


def test_every_text_of_an_error_is_told_from_the_projects_folder_on(tmp_path: Path) -> None:
    root = tmp_path / "a+b"
    root.mkdir()
    (tmp_path / "link").symlink_to(root)
    error = BadInput(
        f"{root}/loop.py: wrong",
        why=f"see {root}",
        fix=f"not {root}-2/x, nor {root}2",
        problems=(Problem(f"{root}/loop.py:3", f"in {root}/a", f"as {tmp_path}/link/b", "https://example.org/a+b/"),),
    )
    told = Outward(tmp_path / "link", f"{root}/.flyball/ledger.db").problem(error)
    assert told["detail"] == "loop.py: wrong: see the project's folder"
    assert told["fix"] == f"not {root}-2/x, nor {root}2", "another folder's name that begins alike is none of ours"
    assert told["problems"] == [{"where": "loop.py:3", "what": "in a", "why": "as b", "fix": "https://example.org/a+b/"}]
    assert told["status"] == 422


def test_no_error_names_the_databases_server(tmp_path: Path) -> None:
    name = "postgresql://fly@db.internal:5432/fly"
    said = 'connection failed: connection to server at "10.0.0.5" (10.0.0.5), port 5432 failed: Connection refused'
    told = Outward(tmp_path, name).problem(Unavailable(f"{name} cannot be reached", why=said, fix="start the server"))
    assert told["detail"] == "the ledger's database cannot be reached: connection failed: connection to server failed: Connection refused"
    socket = 'connection to server on socket "/var/run/postgresql/.s.PGSQL.5432" failed: No such file or directory'
    assert "/var" not in Outward(tmp_path, name).problem(Unavailable("gone", why=socket))["detail"]
    assert (told["retry"], told["retry_after"]) == ("later", 1.0)


@pytest.mark.parametrize("hosts", ["db.internal", "other,db.internal", "db.internal,other"])
def test_a_host_that_is_not_found_is_not_named_and_no_other_word_is_taken_for_it(tmp_path: Path, hosts: str) -> None:
    name = f"postgresql://fly@{hosts}:5432/fly"
    told = Outward(tmp_path, name).problem(
        Unavailable(f"{name} cannot be reached", why="failed to resolve host 'db.internal': [Errno -2] Name or service not known")
    )
    assert told["detail"] == (
        "the ledger's database cannot be reached: failed to resolve host 'its server': [Errno -2] Name or service not known"
    )
    other = Outward(tmp_path, name).problem(BadInput('no model "other"', why="there is no db.internal"))
    assert other["detail"] == 'no model "other": there is no db.internal'


def test_a_host_that_is_a_number_with_colons_is_not_named_in_part(tmp_path: Path) -> None:
    name = "postgresql://fly@fd00::7:5432/fly"
    told = Outward(tmp_path, name).problem(Unavailable(f"{name} cannot be reached", why="could not connect to fd00::7"))
    assert told["detail"] == "the ledger's database cannot be reached: could not connect to its server"


@pytest.mark.parametrize("root", ["/models", "/docs", "/v1"])
def test_a_path_of_the_api_is_told_as_it_is_wherever_the_project_lies(root: str) -> None:
    error = NotFound("there is nothing at /api/v1/model", why=f"{root}/loop.py", fix='did you mean "/api/v1/models"?')
    told = Outward(Path(root), "").problem(error)
    assert told["type"] == "/docs/errors#not-found"
    assert told["detail"] == "there is nothing at /api/v1/model: loop.py"
    assert told["fix"] == error.fix


def test_what_is_missing_in_a_request_is_named_by_its_field(api: Served) -> None:
    blank = api.post("/models/demand/versions/1.0.0/deprecation", {"reason": " "})
    assert (blank.status_code, blank.json()["fix"]) == (422, '"reason": "…"')
    useless = api.post("/tokens", {"person": "cy"})
    assert useless.status_code == 422
    assert useless.json()["fix"].startswith('"roles" or "jobs" for a person; "scopes" predict')


def test_a_command_of_the_command_line_is_told_as_it_is_typed() -> None:
    whole = 'say why: flyball approve m@1.0.0 --reason "it is; fine" --env staging'
    assert by_field(whole) == whole
    assert by_field(f"{whole}; or --trials 0") == f'{whole}; or "trials": 0'


OPTIONS_OF_THE_COMMAND_LINE_ALONE = {"--data", "--host"}


def _fixes() -> Iterator[str]:
    """Every text that says how to mend something, of all that is below the faces."""
    faces = {"cli", "demo"}
    for file in Path(flyball.__file__).parent.rglob("*.py"):
        if not faces & set(file.parts):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.keyword) and node.arg == "fix":
                    yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in _parts(node.value))


def _parts(node: ast.expr) -> Iterator[ast.expr]:
    yield from node.values if isinstance(node, ast.JoinedStr) else [node] if isinstance(node, ast.Constant) else []


def test_no_way_to_mend_names_an_option_that_a_request_has_not() -> None:
    fixes = list(_fixes())
    assert len(fixes) > 200
    left = {word.strip(":;,.") for fix in fixes for word in by_field(fix).split() if word.startswith("--") and "flyball " not in fix}
    assert left == OPTIONS_OF_THE_COMMAND_LINE_ALONE
