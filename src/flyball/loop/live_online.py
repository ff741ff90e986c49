"""Views go into the online store beside the loop: neither a large data set nor a store that hangs delays a tick.

What there is to do is read from the store each time, so whoever begins again goes on where it was.
"""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from flyball.clock import Clock, Instant, Span
from flyball.errors import Conflict, FlyballError, Unavailable
from flyball.loop.online import Rows, Wanted, bring_up, noted, status, unused
from flyball.records.online import ViewsStatus
from flyball.serving.layout import write_whole

if TYPE_CHECKING:
    from flyball.store.online import Generation, OnlineStore

UNUSED = Span.parse("1h")
"""How long a view that no model reads any more stays: a rollback within that time finds it as it was."""


class LiveViews:
    """Keeps the views of one project. `note`: the file that tells gateways, and people, how far they are."""

    def __init__(self, store: Callable[[], OnlineStore], rows: Rows, clock: Clock, note: Path) -> None:
        self._open, self._rows, self._clock, self._note = store, rows, clock, note
        self._store: OnlineStore | None = None
        self._thread: threading.Thread | None = None
        self._problems: dict[str, str] = {}
        self._any = True

    def keep(self, wanted: Mapping[str, Wanted]) -> None:
        """Begin to make it so, unless that is still going on."""
        if (self._thread is not None and self._thread.is_alive()) or not (wanted or self._any):
            return
        self._thread = threading.Thread(target=self._pass, args=(dict(wanted),), name="views", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Wait until what was begun is done."""
        if self._thread is not None:
            self._thread.join()

    def forget_others(self, wanted: Mapping[str, Wanted]) -> None:
        """Remove every view that is not wanted, now. Raises Unavailable, BadInput."""
        for name in {each.view for each in self._opened().generations()} - wanted.keys():
            self._opened().drop(name)

    def behind(self, wanted: Mapping[str, Wanted]) -> list[str]:
        """Those of the views that are in the store, and hold another version than is wanted. Raises Unavailable, BadInput."""
        store = self._opened()
        return sorted({each.view for each in store.generations() if each.live} - _current(store, wanted))

    def _pass(self, wanted: dict[str, Wanted]) -> None:
        try:
            self.step(self._opened(), wanted)
        except FlyballError as error:
            self._tell(wanted, dict.fromkeys(wanted, f"{error.what}: {error.why}"))
        except Exception:  # noqa: BLE001 - a fault of ours in one view must not end the loop of all models
            self._say(traceback.format_exc())

    def _opened(self) -> OnlineStore:
        if self._store is None:
            self._store = self._open()
        return self._store

    def step(self, store: OnlineStore, wanted: dict[str, Wanted]) -> None:
        """One pass over all views. Raises Unavailable where the store is; what goes wrong with one view keeps no other from its turn."""
        problems: dict[str, str] = {}
        now = self._clock.now()
        if done := store.mend():
            self._say(done)
        current = _current(store, wanted)
        for name, want in sorted(wanted.items()):
            if name in current and not want.pushes:
                continue
            try:
                bring_up(store, want, self._rows, now)
            except Unavailable:
                raise
            except Conflict:
                # somebody else was at it, such as a person's erasure: the next pass sees what they left
                continue
            except FlyballError as error:
                problems[name] = f"{error.what}: {error.why}"
            except Exception as error:  # noqa: BLE001 - a fault of ours in one view keeps no other from its turn
                # what it says may hold a value of a row
                problems[name] = f"a fault of flyball's own, {type(error).__name__}: the loop's log tells where"
                if self._problems.get(name) != problems[name]:
                    self._say(traceback.format_exc())
        names = [each.view for each in store.generations()]
        unwanted = dict(noted(self._note).unwanted)
        for name in unused(names, wanted, unwanted, now, int(UNUSED)):
            store.drop(name)
            del unwanted[name]
        self._any = bool(names)
        self._tell(wanted, problems, unwanted)

    def _tell(self, wanted: dict[str, Wanted], problems: dict[str, str], unwanted: dict[str, Instant] | None = None) -> None:
        """Write how far each view is, where it has changed. unwanted: since when views are, where that was looked at."""
        for name, problem in problems.items():
            if self._problems.get(name) != problem:
                self._say(f'view "{name.partition("@")[0]}" is not brought up to date: {problem}')
        self._problems = problems
        known = noted(self._note)
        left = known.unwanted if unwanted is None else unwanted
        generations: dict[str, list[Generation]] = {}
        try:
            for each in self._opened().generations():
                generations.setdefault(each.view, []).append(each)
        except FlyballError as error:
            # how old the values are can be told although the store is gone
            made = ViewsStatus(tuple(msgspec.structs.replace(each, problem=f"{error.what}: {error.why}") for each in known.views), left)
        else:
            found = (status(name, want, generations.get(name, ()), problems.get(name, "")) for name, want in sorted(wanted.items()))
            made = ViewsStatus(tuple(found), left)
        if made != known:
            write_whole(self._note, msgspec.json.encode(made))

    @staticmethod
    def _say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def _current(store: OnlineStore, wanted: Mapping[str, Wanted]) -> set[str]:
    """The views of which what is read is of the version that is wanted."""
    from flyball.features.online.progress import read

    live = ((each.view, read(each.cursor)) for each in store.generations() if each.live and each.view in wanted)
    return {name for name, at in live if at is not None and at.content == wanted[name].content}
