"""Everything that is wrong with a project, in one pass, and what each model would do: what `flyball check` shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flyball.clock import Instant
from flyball.data.rules import is_apart, is_form
from flyball.data.sources.access import Access
from flyball.data.sources.secrets import read_secrets
from flyball.declare import change_window, codec
from flyball.declare.costs import threshold_of
from flyball.declare.data import Dataset
from flyball.declare.difference import differences
from flyball.declare.framing import implied
from flyball.declare.model import Model
from flyball.declare.owners import owners
from flyball.declare.problems import warnings
from flyball.declare.project import read_project
from flyball.declare.reads import looked_at, made_from
from flyball.declare.routes import Routes
from flyball.declare.rules_elsewhere import elsewhere_told
from flyball.errors import FlyballError, Problem
from flyball.loop.compiling import Broken, Compilation, Compiler
from flyball.loop.reading import Reader, reader_of
from flyball.loop.reading import compiled as code
from flyball.loop.requests import FIX, Requests, unlike
from flyball.loop.routing import NONE, missing_secrets, unknown_route
from flyball.loop.sharing import keep_apart, shared_ports
from flyball.records.data import DatasetVersion
from flyball.records.declarations import Compiled
from flyball.serving.layout import state_folder
from flyball.settings import Settings, read_settings
from flyball.store.blobs import Blobs

if TYPE_CHECKING:
    from flyball.data.against import Against
    from flyball.loop.power import Known, Line, Told
    from flyball.loop.tally import Tally


class Applied(NamedTuple):
    """The declaration in effect, to compare with. `body` is its canonical JSON (empty: only the digests are compared); `requests`: what callers send
    now (None: nobody answers them).
    """

    version_digest: str
    policy_digest: str
    body: str = ""
    gates_digest: str = ""
    requests: Requests | None = None


GONE = "gone     {}: applied, and no loop file declares it any more; it goes on as it was"
"""How a model is shown whose file was taken away."""


class ModelReport(NamedTuple):
    """One model as checked. `changed` holds "new", or those of "version", "policy" that differ from what is applied; `when_applied` says what
    will happen then, `request_changes` what of its request is not what callers send now.
    """

    name: str
    file: str
    line: int
    counts: dict[str, int]
    version_digest: str
    policy_digest: str
    changed: tuple[str, ...]
    request: dict[str, str]
    differences: tuple[str, ...]
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    owners: dict[str, str]
    implied: tuple[str, ...]
    when_applied: str
    power: tuple[Line, ...] = ()
    request_changes: tuple[str, ...] = ()
    route: str = ""
    window: str = ""


class Contract(NamedTuple):
    """What data break of their contracts: what stops them, and what is only said (`on_breach="warn"`)."""

    problems: tuple[Problem, ...] = ()
    doubts: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Standards:
    """What sources are checked against besides their contracts. `heads` are the last good versions, by data set; their blobs are in `blobs`."""

    against: Against
    blobs: Blobs | None = None
    heads: Mapping[str, DatasetVersion] = field(default_factory=dict)


class CheckReport(NamedTuple):
    """A project as checked. `gone` are applied models that no loop file declares any more, `doubts` the warnings about the project itself, `notes`
    what is only said.
    """

    models: tuple[ModelReport, ...]
    broken: tuple[Broken, ...]
    gone: tuple[str, ...]
    doubts: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem, in the order of files; one that two files have together is there once."""
        own = [problem for model in self.models for problem in model.problems]
        return tuple(dict.fromkeys((*(problem for file in self.broken for problem in file.problems), *own)))

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Every warning."""
        return (*self.doubts, *(warning for model in self.models for warning in model.warnings))


def check_project(
    root: Path,
    env: str = "",
    *,
    data: bool = False,
    standards: Standards | None = None,
    applied: Mapping[str, Applied] | None = None,
    known: Mapping[str, Known] | None = None,
    only: str = "",
) -> CheckReport:
    """Check a project, or its loop file `only`. With `data` the sources are read: contracts (against `standards`), transforms on real rows, and
    leaks. `known`: what runs and traffic have told of each model, for what its checks can see.

    Raises NotFound outside a project, BadInput where nothing is declared, DeclarationError for a broken `flyball.toml`; all else is in
    the report.
    """
    project = read_project(root, env)
    every = [read_project(root, name) for name in project.environments]
    for each in every:
        keep_apart(root, each.env, read_settings(each.settings, {}))
        read_secrets(root, each.secrets, table=each.secrets_table)
    routes, secrets = [project.routes, *(each.routes for each in every)], read_secrets(root, project.secrets, table=project.secrets_table)
    compilation = Compiler(project.root).compile(prove="data" if data else "made")
    compilation.refuse_empty(project.root)
    if data and standards is None:
        from flyball.data.against import Against

        standards = Standards(Against())
    reader = reader_of(project, Settings(), state_folder(project.root, env)) if data else None
    checked = report(compilation, reader, standards=standards, applied=applied or {}, known=known or {}, only=only)
    doubts = (*shared_ports(root), *missing_secrets(routes[0], secrets))
    return checked._replace(
        models=tuple(_routed(model, routes) for model in checked.models),
        doubts=doubts,
        notes=() if any(one.routes for one in routes) else (NONE,),
    )


def _routed(model: ModelReport, routes: Sequence[Routes]) -> ModelReport:
    """The same with a warning of a route that its playbook names and nobody declares: what goes to none goes to the default one."""
    place = f'{model.file}:{model.line}  Model "{model.name}"'
    return model._replace(warnings=(*model.warnings, *unknown_route(model.route, routes, place)))


def report(
    compilation: Compilation,
    reader: Reader | None,
    *,
    standards: Standards | None,
    applied: Mapping[str, Applied],
    known: Mapping[str, Known] | None = None,
    only: str = "",
) -> CheckReport:
    """Describe what was compiled; with a reader, the sources are read too."""
    from flyball.loop.enough import tallies

    contracts: dict[str, Contract] = {}
    wanted = [(compiled, codec.decode(compiled.body)) for compiled in compilation.models if only in ("", compiled.file)]
    tallied = tallies(model for _, model in wanted)
    models = []
    for compiled, model in wanted:
        read = _Reading(reader.access(code(compiled)), standards, tallied) if reader and standards else None
        found = _contracts(model, read, contracts) if read else Contract()
        found = found._replace(doubts=(*found.doubts, *compilation.doubts.get(compiled.model, ())))
        models.append(_model(compiled, model, applied.get(compiled.model), found, _power(compiled, model, known or {}, tallied, read=read)))
    broken = tuple(file for file in compilation.broken if only in ("", file.file))
    return CheckReport(tuple(models), broken, () if only else compilation.gone(applied))


class _Reading(NamedTuple):
    """How sources are read, what they are held to, and the rows that are counted on the way, by data set."""

    access: Access
    standards: Standards
    tallies: Mapping[str, Tally]


def _power(compiled: Compiled, model: Model, known: Mapping[str, Known], tallied: Mapping[str, Tally], *, read: _Reading | None) -> Told:
    from flyball.loop.power import Known, Told, tell
    from flyball.loop.promises import promise

    place, what = f"{compiled.file}:{compiled.line}", known.get(compiled.model, Known())
    parts = [each(model, what, tallied if read else {}, place=place) for each in (tell, promise)]
    return Told(tuple(line for part in parts for line in part.lines), tuple(doubt for part in parts for doubt in part.doubts))


def _model(compiled: Compiled, model: Model, before: Applied | None, found: Contract, power: Told) -> ModelReport:
    place = f"{compiled.file}:{compiled.line}"
    was = codec.decode(before.body) if before is not None and before.body else None
    sent = before.requests if before is not None else None
    told = [*warnings(model, place=place), *(other_requests(sent, model, place) if sent is not None else ()), *found.doubts, *power.doubts]
    wrong = list(found.problems)
    try:
        request = _request(model)
    except FlyballError as error:
        request = {}
        wrong.append(Problem(f'{place}  Model "{model.name}"', error.what, error.why, error.fix))
    return ModelReport(
        name=compiled.model,
        file=compiled.file,
        line=compiled.line,
        counts=_counts(model),
        version_digest=compiled.version_digest,
        policy_digest=compiled.policy_digest,
        changed=_changed(compiled, before),
        request=request,
        differences=tuple(map(str, differences(was, model))) if was is not None else (),
        problems=tuple(wrong),
        warnings=tuple(told),
        owners=owners(model),
        implied=(*elsewhere_told(model), *map(str, implied(model))),
        when_applied=_when_applied(compiled, model, before, was),
        power=power.lines,
        request_changes=_request_changes(sent, model) if sent is not None else (),
        route=model.playbook.route,
        window=model.rollout.change_window if model.train is not None else "",
    )


def _counts(model: Model) -> dict[str, int]:
    """What is declared of each kind. A model that is served elsewhere has no release, so neither gates nor the guards and steps of one."""
    counts = {
        "gates": len(model.gates),
        "guards": len(model.rollout.guards),
        "monitors": len(model.monitors),
        "steps": len(model.rollout.steps),
    }
    return counts if model.train is not None else {"monitors": counts["monitors"]}


def _changed(compiled: Compiled, before: Applied | None) -> tuple[str, ...]:
    if before is None:
        return ("new",)
    pairs = (("version", compiled.version_digest, before.version_digest), ("policy", compiled.policy_digest, before.policy_digest))
    return tuple(name for name, now, was in pairs if now != was)


_BY_ITSELF = {"act": "made by itself", "propose": "once a person agrees", "record": "only noted: its autonomy says so"}
"""How a training comes about, by the model's autonomy."""


_THRESHOLD_STAYS = "; the threshold of each was chosen by the former costs, and stays until the next run"


def other_threshold(before: Model, after: Model) -> bool:
    """Whether changed costs would choose another threshold: a version keeps the one that it was made with."""
    was, now = (threshold_of({kind: each.amount for kind, each in model.costs.items()}) for model in (before, after))
    return after.task == "binary" and was != now


def _when_applied(compiled: Compiled, model: Model, before: Applied | None, was: Model | None) -> str:
    """What the loop will do about a declaration."""
    if model.train is None:
        return "nothing is trained: it is served elsewhere"
    how = _BY_ITSELF[model.autonomy.training]
    if before is None:
        return f"a first run ({how})"
    if compiled.version_digest != before.version_digest:
        return f"a run ({how}): what is trained changed, and its version is a candidate"
    if before.gates_digest and compiled.gates_digest != before.gates_digest:
        said = "a judging anew, without a training: what waits and what serves are judged by the new gates, and what serves goes on"
        return f"{said}{_THRESHOLD_STAYS if was is not None and other_threshold(was, model) else ''}"
    if compiled.policy_digest != before.policy_digest:
        return "nothing is trained: the new policy is in force at once"
    return "nothing: it is so already"


def _request_changes(sent: Requests, after: Model) -> tuple[str, ...]:
    try:
        return unlike(sent, requests_of(after))
    except FlyballError:
        return ()


def other_requests(sent: Requests, after: Model, place: str = "") -> list[Problem]:
    """The warning that what is declared cannot be released beside what callers send now; none where requests are the same."""
    changed = _request_changes(sent, after)
    if not changed:
        return []
    beside = "beside a champion of that declaration " if sent.supposed else ""
    told = Problem(
        f'{place}  Model "{after.name}"'.strip(),
        f"it takes other requests than {sent.who}: {'; '.join(changed)}",
        f"callers send what the champion takes, so {beside}its versions are trained and never released",
        FIX,
    )
    gone = [f'"{name}"' for name in sent.fields if name not in _readable(after)]
    if not gone or sent.supposed:
        return [told]
    why = f"{sent.who} reads {', '.join(gone)}, and no version is made that cannot be compared with it on the same rows"
    return [replace(told, why=why, fix=f"keep it declared in the data set, and versions are made again; {FIX}")]


def _readable(model: Model) -> set[str]:
    """Columns that a champion with other inputs could read still."""
    return {name for dataset in made_from(model).values() for name in dataset.columns}


def requests_of(model: Model, who: str = "") -> Requests:
    """What callers would send to a version of a declaration. Raises DeclarationError."""
    return Requests(who, model.task, _request(model), supposed=True)


def _request(model: Model) -> dict[str, str]:
    from flyball.features.fields import request_fields

    return {name: str(column.type) for name, column in request_fields(model)}


def _contracts(model: Model, read: _Reading, known: dict[str, Contract]) -> Contract:
    """What the data sets of a model break of their contracts; a data set shared by models is read once and told once."""
    found = Contract()
    for dataset in looked_at(model).values():
        if dataset.name not in known and not is_form(model, dataset):
            own = known[dataset.name] = _apart(dataset, read) if is_apart(model, dataset) else _contract(dataset, read)
            found = Contract((*found.problems, *own.problems), (*found.doubts, *own.doubts))
    return found


def _apart(dataset: Dataset, read: _Reading) -> Contract:
    """The same where a broken file is left out."""
    from flyball.data.source import BrokenFiles
    from flyball.data.sources.wrong import MOST

    try:
        return _contract(dataset, read._replace(access=replace(read.access, apart=True)))
    except BrokenFiles as error:
        found = _contract(dataset, read._replace(access=replace(read.access, left=error.files)))
        where, rest = f'Data set "{dataset.name}"', len(error.files) - MOST
        left = [_of_source(dataset, where, one) for one in error.files[:MOST]]
        more = (Problem(where, f"and {rest:,} more files that are broken", fix="mend these first"),) if rest > 0 else ()
    if found.problems:
        return Contract((*left, *more, *found.problems), found.doubts)
    told = (replace(one, what=f"{one.what}: it is left out, the other files are taken") for one in left)
    return Contract((), (*told, *more, *found.doubts))


def _contract(dataset: Dataset, read: _Reading) -> Contract:
    """What a data set breaks. Raises BrokenFiles where files stand apart."""
    from flyball.data.commit import scan
    from flyball.data.contract import fix_missing
    from flyball.data.rules import is_pushed, is_timed
    from flyball.data.source import BrokenFiles, stream
    from flyball.data.sources.pushed import bounded
    from flyball.data.sources.spool import Spool

    access, standards, tally = read.access, read.standards, read.tallies.get(dataset.name)
    where = f'Data set "{dataset.name}"'
    head, content = standards.heads.get(dataset.name), standards.against.content(dataset.name)
    if is_pushed(dataset) and standards.blobs is not None:
        access = bounded(dataset, access, head, partial(scan, content, standards.blobs))
    try:
        asked = partial(stream, dataset, access)
        with Spool(asked, access.folder) as spool:
            # for keys that seem alike all rows are gone through once more: what is asked again may give others, a file does not
            rows = spool if dataset.unique and is_timed(dataset) else asked
            checker = standards.against.checker(dataset, access, standards.blobs, head, rows)
            for batch in rows():
                checker.add(batch)
                if tally is not None:
                    tally.add(batch)
            found = checker.findings()
    except FlyballError as error:
        if access.apart and isinstance(error, BrokenFiles):
            raise
        # what is wrong says it better than that something is; which file and line it is stands in the problem's own place
        listed = error.problems or (Problem("", error.what, error.why, error.fix),)
        return Contract(tuple(_of_source(dataset, where, item) for item in listed))
    warned = 'its contract does not hold; on_breach="warn": used all the same'
    return Contract(
        tuple(
            Problem(where, one.text, "its contract does not hold", fix_missing(dataset, one)) for one in found if one.severity == "block"
        ),
        tuple(Problem(where, one.text, warned, fix_missing(dataset, one)) for one in found if one.severity == "warn"),
    )


def _of_source(dataset: Dataset, where: str, item: Problem) -> Problem:
    """A problem of reading a source; that it is of this data set is said once."""
    named = f'data set "{dataset.name}"'
    place = "" if item.where == named else item.where
    what = item.what.removeprefix(f"{named}: ").removeprefix(f"{named} ")
    return Problem(f"{where}  {place}".rstrip(), what, item.why, item.fix)


def to_json(checked: CheckReport, now: Instant = 0) -> dict[str, Any]:
    """The document of `flyball check --json`. `now`: when it is told how change windows stand."""
    return {
        "models": [
            {
                "name": model.name,
                "file": model.file,
                "version_digest": model.version_digest,
                "policy_digest": model.policy_digest,
                "changed": list(model.changed),
                "request": model.request,
                "differences": list(model.differences),
                "owners": model.owners,
                "implied": list(model.implied),
                "power": [line.document for line in model.power],
                "change_window": change_window.document(model.window, now),
                "when_applied": model.when_applied,
                "request_changes": list(model.request_changes),
                "problems": [plain(problem) for problem in model.problems],
                "warnings": [plain(warning) for warning in model.warnings],
            }
            for model in checked.models
        ],
        "broken": [{"file": file.file, "problems": [plain(problem) for problem in file.problems]} for file in checked.broken],
        "gone": list(checked.gone),
        "warnings": [plain(warning) for warning in checked.doubts],
        "notes": list(checked.notes),
        "problems": len(checked.problems),
    }


def plain(problem: Problem) -> dict[str, str]:
    """`where` is the JSON pointer into the declaration, where there is one: the model and its file stand beside it."""
    told = {"where": problem.at or problem.where, "what": problem.what, "why": problem.why, "fix": problem.fix}
    return {key: value for key, value in told.items() if value or key in ("where", "what")}


def to_lines(checked: CheckReport, now: Instant = 0) -> list[str]:
    """The text of `flyball check`: a line a model, its request, what changed, then every warning and problem, then the sum. `now`: as of `to_json`."""
    lines: list[str] = []
    width = max((len(model.file) for model in checked.models), default=0)
    name_width = max((len(model.name) for model in checked.models), default=0)
    for model in checked.models:
        counts = ", ".join(counted(number, name) for name, number in model.counts.items())
        marks = {
            kind: "new" if "new" in model.changed else "changed" for kind in ("version", "policy") if {kind, "new"} & set(model.changed)
        }
        digests = "  ".join(
            f"{kind} {codec.short(digest)}" + (f" ({marks[kind]})" if kind in marks else "")
            for kind, digest in (("version", model.version_digest), ("policy", model.policy_digest))
        )
        lines.append(f"{model.file:<{width}}   {model.name:<{name_width}}   {counts}   {digests}")
        if model.request:
            lines.append(f"  a request      {fields_text(model.request)}")
        lines += [f"  in force       {one}" for one in model.implied]
        lines += [f"  change window  {change_window.told(model.window, now)}"] if model.window else []
        lines += [f"  power          {line.text}" for line in model.power]
        lines += [f"  changed        {difference}" for difference in model.differences]
        lines += [f"  warning  {str(warning).replace(chr(10), chr(10) + '  ')}" for warning in model.warnings]
    lines += [f"warning  {doubt}" for doubt in checked.doubts]
    lines += [str(problem) for problem in checked.problems]
    lines += [*(GONE.format(name) for name in checked.gone), *checked.notes]
    sums = (len(checked.models), "model"), (len(checked.problems), "problem"), (len(checked.warnings), "warning")
    return [*lines, ", ".join(counted(number, f"{name}s") for number, name in sums)]


def counted(number: int, plural: str) -> str:
    """A number of things: `1 gate`, `2 gates`."""
    return f"{number} {plural.removesuffix('s') if number == 1 else plural}"


def fields_text(request: Mapping[str, str]) -> str:
    """Names with their type once for a run of the same: `day int, period, nswprice float`."""
    items = list(request.items())
    out = []
    for place, (name, kind) in enumerate(items):
        last_of_run = place + 1 == len(items) or items[place + 1][1] != kind
        out.append(f"{name} {kind}" if last_of_run else name)
    return ", ".join(out)
