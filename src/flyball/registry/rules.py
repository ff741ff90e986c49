"""What a version is called, what its verdicts make of it, and whether it may be released. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.clock import Instant, rfc3339
from flyball.records.base import Event, Refusal
from flyball.records.estimates import Outcome, Verdict
from flyball.records.models import Field, Signature
from flyball.records.training import RunResult
from flyball.records.versions import (
    ModelRow,
    VersionEligible,
    VersionHeld,
    VersionJudged,
    VersionRegistered,
    VersionRejected,
    VersionRow,
    VersionState,
    Waiver,
)
from flyball.registry import approvals, told
from flyball.registry.mends import Whom, anybody, mends, waives
from flyball.registry.states import RELEASABLE


def next_version(
    newest: str, old: Signature | None, new: Signature, *, repackaged: bool = False, champion: str = "", latest: Signature | None = None
) -> str:
    """The number after `newest` (empty: the first, 1.0.0).

    Major: a caller of the `champion`, whose signature is `old`, would be refused or misread by `new`; where `newest` has a higher major already, a caller of
    that one (of the `latest` signature; None: not known any more). Patch: the same training, packed again. Minor: all else.
    """
    if not newest:
        return "1.0.0"
    major, minor, patch = (int(part) for part in newest.split("."))
    raised = bool(champion) and major > int(champion.partition(".")[0]) and latest is not None
    callers = latest if raised else old
    if callers is not None and breaks(callers, new):
        return f"{major + 1}.0.0"
    return f"{major}.{minor}.{patch + 1}" if repackaged else f"{major}.{minor + 1}.0"


def same_training(row: VersionRow, result: RunResult, version_digest: str) -> bool:
    """Whether a run learned what that version had learned from the same declaration and rows; only the packing may differ."""
    return bool(result.fit_digest) and (row.fit_digest, row.version_digest) == (result.fit_digest, version_digest)


def other_gates(row: VersionRow, gates_digest: str) -> bool:
    """Whether a version was judged by other gates than these; one from before gates were noted was not."""
    return bool(row.gates_digest and gates_digest) and row.gates_digest != gates_digest


def judged_otherwise(row: VersionRow, gates_digest: str) -> bool:
    """Whether a version that was never released was judged by other gates than these."""
    waits = row.state in (VersionState.ELIGIBLE, VersionState.HELD, VersionState.REJECTED)
    return waits and other_gates(row, gates_digest)


def met_another(row: VersionRow, champion: str) -> str:
    """What is to be known of a version that was compared with another champion than the one it would replace; empty where it was not.

    A newer champion may have learned from the very rows that judged the version, so its gates say nothing of the two. Of one that comes from another
    environment the comparison is the one that was made there.
    """
    if not champion or row.origin or row.against is None or champion in (row.against, row.version):
        return ""
    return f"its gates compared {row.version} with {row.against or 'no champion'}; the champion is {champion} now"


def judges_it(row: VersionRow, roles: ModelRow) -> str:
    """What brings a version to the gates that are declared now: in the environment that it comes from, if it comes from one. The newest and the champion
    are judged by themselves.
    """
    there = f" --env {row.origin}" if row.origin else ""
    train, ref = f"flyball train {row.model}{there}", f"{row.model}@{row.version}"
    if row.state is not VersionState.RETIRED and row.version in (roles.newest, roles.champion):
        return f"flyball up{there}, or flyball tick{there}, judges it by the present ones; where that failed, {train}"
    back = f"; or go back to it: flyball rollback {row.model}" if roles.former == row.version else ""
    return f'flyball models judge {ref}{there} --reason "…" has it judged by them{back}'


def to_judge_anew(row: VersionRow, gates_digest: str, version_digest: str, wanted: str = "") -> bool:
    """Whether a version is to be judged by these gates, once: one that waits and is of this declaration, or one that serves, whatever it is of, here
    or in a later environment, which says so by the gates that it wants it judged by (`wanted`).

    What a person said no to waits for nothing.
    """
    if not row.gates_digest or not gates_digest or gates_digest in (row.gates_digest, row.tried):
        return False
    waits = judged_otherwise(row, gates_digest) and not approvals.denied(row)
    serves = row.state == VersionState.DEPLOYED or (row.state == VersionState.RETIRED and wanted == gates_digest)
    return serves or (waits and row.version_digest == version_digest)


def breaks(old: Signature, new: Signature) -> tuple[str, ...]:
    """Why a caller that keeps to `old` cannot go on with `new`; empty if it can.

    A row must give exactly the signature's fields, so a field that came or went breaks; so does one that takes less than before.
    """
    found = []
    if old.task != new.task:
        found.append(f"the task was {old.task} and is {new.task}")
    if set(old.classes) != set(new.classes):
        found.append(f"the classes were {_listed(old.classes)} and are {_listed(new.classes)}")
    before, after = ({field.name: field for field in signature.fields} for signature in (old, new))
    found += [f"field {name} is new" for name in after if name not in before]
    found += [f"field {name} is gone" for name in before if name not in after]
    found += [
        f"field {name} takes less: {why}" for name, field in after.items() if name in before and (why := _narrower(before[name], field))
    ]
    return tuple(found)


def _narrower(old: Field, new: Field) -> str:
    if old.type != new.type and (old.type, new.type) != ("int", "float"):
        return f"it was {old.type} and is {new.type}"
    if old.nullable and not new.nullable:
        return "it may no longer be null"
    if new.low is not None and (old.low is None or new.low > old.low):
        return f"its least value is {new.low:g}"
    if new.high is not None and (old.high is None or new.high < old.high):
        return f"its largest value is {new.high:g}"
    if new.one_of is not None and (old.one_of is None or not set(old.one_of) <= set(new.one_of)):
        return f"it must be one of {_listed(new.one_of)}"
    if new.on_request == "refuse" != old.on_request:
        return "what breaks its contract is refused"
    return ""


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values) or "none"


def register(
    *,
    model: str,
    version: str,
    run: str,
    result_blob: str,
    result: RunResult,
    data: Mapping[str, str],
    version_digest: str,
    policy_digest: str,
    gates_digest: str = "",
    features_digest: str = "",
    commit: str = "",
) -> VersionRegistered:
    """A run's result gets its name."""
    return VersionRegistered(
        model=model,
        version=version,
        run=run,
        artifact=result.artifact,
        fit_digest=result.fit_digest,
        result=result_blob,
        version_digest=version_digest,
        policy_digest=policy_digest,
        gates_digest=gates_digest,
        features_digest=features_digest,
        commit=commit,
        data=dict(data),
        metrics=result.metrics,
    )


def judge(
    model: str,
    version: str,
    verdicts: Sequence[Verdict],
    result: str = "",
    gates_digest: str = "",
    *,
    released: bool = False,
    against: str | None = None,
) -> Event:
    """One verdict that fails rejects; else one that lacks data or an approval holds; a version without gates is eligible.

    One that was released (deployed, or retired since) stays what it is, whatever the verdicts: its row says what they are.

    The event lists as many verdicts as it has room for (`registry.told`); the outcome is that of all of them.
    `result`: the blob of a newer result than the version was registered with, where it was judged again; `gates_digest`: by which gates; `against`:
    beside which champion, where it met one now.
    """
    outcomes = {verdict.outcome for verdict in verdicts}
    kind: type[told.Judged] = (
        VersionRejected if Outcome.FAIL in outcomes else VersionHeld if Outcome.INSUFFICIENT in outcomes else VersionEligible
    )
    kind = VersionJudged if released else kind

    def event(listed: tuple[Verdict, ...], unlisted: dict[str, int]) -> told.Judged:
        return kind(
            model=model, version=version, verdicts=listed, unlisted=unlisted, result=result, gates_digest=gates_digest, against=against
        )

    return told.shortest(event, verdicts)


def may_release(row: VersionRow, now: Instant, whom: Whom = anybody, *, grows: bool = True) -> Refusal | None:
    """Why a version may not be released; None if it may. Nothing is released whose gates did not pass, or that is not signed.

    A gate that was waived is open again from the end of its waiver on. `whom`: how the person is called who could help; `grows`: see `mends`.
    """
    ref = f"{row.model}@{row.version}"
    failed = [verdict for verdict in row.verdicts if verdict.outcome == Outcome.FAIL]
    open_ = [verdict for verdict in row.verdicts if verdict.outcome == Outcome.INSUFFICIENT]
    over = approvals.run_out(row, now)
    if row.state in RELEASABLE and over:
        return _expired(row, over, whom)
    # one that was released and has failed a gate since, which was declared anew, is released again as little as any other
    if row.state in RELEASABLE and not failed and not open_:
        return None if row.signature else _unsigned(ref)
    if row.state == VersionState.REJECTED or (row.state in RELEASABLE and failed):
        return Refusal(
            code="refused",
            what=f"{ref} failed {_counted(told.count(row, Outcome.FAIL), 'a gate')}",
            why="; ".join(filter(None, (_listed_of(failed, told.count(row, Outcome.FAIL)), _open_too(row, open_)))),
            fix=mends(row, whom, grows=grows),
        )
    if row.state == VersionState.HELD or row.state in RELEASABLE:
        return Refusal(
            code="refused",
            what=f"{ref} has {_counted(told.count(row, Outcome.INSUFFICIENT), 'an open gate')}",
            why=_listed_of(open_, told.count(row, Outcome.INSUFFICIENT)),
            fix=mends(row, whom, grows=grows),
        )
    reasons = {
        VersionState.REGISTERED: ("its gates have not been judged yet", "wait for its run's verdicts"),
        VersionState.QUARANTINED: (
            f"it is in quarantine: {row.quarantined or 'no reason was given'}",
            f'release another version; flyball models quarantine {ref} --lift --reason "…" lets it out, to be judged again',
        ),
        VersionState.DELETED: ("its artifact is deleted", "train it again"),
    }
    why, fix = reasons[row.state]
    return Refusal(code="refused", what=f"{ref} is {row.state.value}", why=why, fix=fix)


def _expired(row: VersionRow, over: Sequence[Waiver], whom: Whom) -> Refusal:
    ref = f"{row.model}@{row.version}"
    what = "the waiver has expired" if len(over) == 1 else f"{len(over)} waivers have expired"
    each = (f"{one.gate}{f' in {one.slice}' if one.slice else ''}: waived by {one.actor} until {rfc3339(one.until)}" for one in over)
    return Refusal(
        code="refused",
        what=f"{ref} passed by a waiver, and {what}",
        why="; ".join(each),
        fix=f"{_instead(row, over)}; or {waives(row, over[0].gate, whom)} --until 7d",
    )


def _instead(row: VersionRow, over: Sequence[Waiver]) -> str:
    """What there is to do in place of waiving once more: of what lacked data, to bring it."""
    if any(approvals.lifts_fail(one) for one in over):
        return f"train a better version: flyball train {row.model}"
    return f"bring what its gate lacked (flyball models show {row.model}@{row.version} says what), then flyball train {row.model}"


def _unsigned(ref: str) -> Refusal:
    return Refusal(
        code="refused",
        what=f"{ref} is not signed",
        why="workers load only what is, and the loop signs every version that is registered",
        fix="flyball tick signs it, or says why it cannot",
    )


def _counted(number: int, one: str) -> str:
    return one if number == 1 else f"{number} {one.split(' ', 1)[1]}s"


def _listed_of(verdicts: Sequence[Verdict], number: int) -> str:
    """What the listed verdicts say, and how many there are beside them."""
    more = [f"and {number - len(verdicts)} more"] if number > len(verdicts) else []
    return "; ".join([*(_said(verdict) for verdict in verdicts), *more])


def _said(verdict: Verdict) -> str:
    name = f"{verdict.check} in {verdict.slice}" if verdict.slice else verdict.check
    return f"{name}: {verdict.why}" if verdict.why else name


def _open_too(row: VersionRow, open_: Sequence[Verdict]) -> str:
    """What is open of a version that failed other gates."""
    number = told.count(row, Outcome.INSUFFICIENT)
    return f"open as well: {_listed_of(open_, number)}" if number else ""
