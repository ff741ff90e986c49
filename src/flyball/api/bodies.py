"""What callers send. A field that is not named here is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from flyball.records.base import Record

Text: TypeAlias = Annotated[str, msgspec.Meta(max_length=2_000)]
"""What a person says: it has to fit into an event."""


class NoBody(Record, frozen=True):
    """Nothing is sent, or `{}`."""


class Why(Record, frozen=True):
    """A reason; it is recorded."""

    reason: Text = ""


class ToDo(Record, frozen=True):
    """What will be different, who sees to it, and by when: a time span from now (`14d`), or a moment in RFC 3339."""

    what: Text
    owner: Text
    due: str


class Reviewing(Record, frozen=True):
    """What happened (`text` is its short form), why, what it cost, and what will keep it from happening again."""

    text: Text = ""
    what: Text = ""
    why: Text = ""
    impact: Text = ""
    actions: tuple[ToDo, ...] = ()


class Complaint(Record, frozen=True):
    """What is wrong with a model, as a person sees it. `request` is the id of the prediction that it is about."""

    model: str
    what: Text
    request: str = ""


class Training(Record, frozen=True):
    """A run that is wanted. `parameters` fixes hyperparameters, `trials` says how many to try (null: as declared; 0: the defaults).

    `release`: whether the loop may release the version, as far as its autonomy goes. `reproduce`: a run (or `MODEL@V`, the run that made it) that is
    made again, alone; its result says whether the artifact is the same, and no version comes of it.
    """

    model: str
    reproduce: str = ""
    parameters: dict[str, int | float | str | bool] = {}
    trials: int | None = None
    release: bool = True
    reason: Text = ""


class Rows(Record, frozen=True):
    """Rows of a data set: objects of columns. Times are RFC 3339; a column that is left out is missing."""

    rows: tuple[Any, ...]


class Releasing(Record, frozen=True):
    """A version that is to be released. `outside_window`: it goes forward while its change window is closed, too; that needs a `reason`."""

    model: str
    version: str
    reason: Text = ""
    outside_window: bool = False


class Judging(Record, frozen=True):
    """A person's verdict on a version. A waiver names its `gate`, and lasts a time (`until`: `"7d"` or RFC 3339; empty: without end)."""

    verdict: Literal["approve", "reject", "waive"]
    reason: Text
    gate: Text = ""
    until: str = ""


class Noting(Record, frozen=True):
    """What is known of a version. `notes`: its known failure modes, all of them (null: as they are). `tags`: those to set, or (null) to take off."""

    notes: tuple[Text, ...] | None = None
    tags: dict[str, str | None] = {}


class Describing(Record, frozen=True):
    """A text of a version's card: `blank` is `out_of_scope`, `limitations` or `ethics`. An empty `text` makes it a blank again."""

    blank: str
    text: str


class NewToken(Record, frozen=True):
    """A token that is wanted. `expires_in` is a length of time such as `"90d"`; empty is never."""

    person: str
    team: str = ""
    jobs: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    expires_in: str = ""


class Muting(Record, frozen=True):
    """What nobody wants to hear of, for how long (`lasts`, such as `"2h"`), and why. An empty `monitor`: all of the model's."""

    lasts: str
    reason: Text
    monitor: str = ""


class Unmuting(Record, frozen=True):
    """What is to be heard again."""

    reason: Text = ""
    monitor: str = ""


class Hook(Record, frozen=True):
    """What a route says of an incident, or of any other thread that it was told of. `id` is the sender's own: the same again does nothing.

    PagerDuty's webhooks (v3) are taken as they are.
    """

    id: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    thread: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
    act: Literal["acknowledge", "resolve"]
    by: Annotated[str, msgspec.Meta(max_length=200)] = ""
    text: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
