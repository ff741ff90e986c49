"""The SQL that SQLAlchemy Core compiles, as text for the driver's own cursor.

Running it through Core costs twice the time of an append; compiling it through Core keeps it right for every database.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from sqlalchemy import Integer, bindparam, delete, func, insert, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect
from sqlalchemy.schema import CreateIndex, CreateTable, ExecutableDDLElement
from sqlalchemy.sql.expression import ClauseElement, Executable

from flyball.store import tables


@dataclass(frozen=True)
class RowStatements:
    """The statements of one table of rows (key, body). Parameters in order: see each comment."""

    get: str  # key
    scan: str  # from key, below key
    last: str  # from key, below key, at most -> the last keys first
    next: str  # above key, below key, at most
    everything: str
    put: str  # key, body
    add: str  # key, body; the key is not there yet
    delete: str  # key
    clear: str
    count: str


@dataclass(frozen=True)
class Statements:
    """Every statement that the ledger and the operational store run. Parameters in order: see each comment."""

    head: str  # -> size, frontier, at, fence, fold_hash
    set_head: str  # size, frontier, at
    set_fence: str  # fence
    append: str  # seq, command, body, hashes
    events: str  # after seq, last seq -> seq, body
    all_events: str  # -> seq, command, body, hashes
    event: str  # seq -> body
    hashes: str  # seq -> hashes
    command: str  # command -> the first and the last seq; NULL if it is not there
    commands: str  # from command, below command -> each command once
    set_command: str  # command, seq
    new_head: str
    add_checkpoint: str  # size, note
    checkpoints: str  # -> size, note
    checkpoint_from: str  # size -> size, note of the first that covers so many events
    last_checkpoint: str  # -> size, note
    set_meta: str  # key, value
    get_meta: str  # key
    rows: Mapping[str, RowStatements]
    personal: RowStatements
    operational_get: str  # key
    operational_put: str  # key, body
    operational_delete: str  # key


class _Compiler:
    def __init__(self, kind: type[Dialect]) -> None:
        # positional parameters, so that a statement's text and a tuple are all that an append needs
        style = "qmark" if kind.name == "sqlite" else "format"
        make: Any = kind
        self.dialect: Dialect = make(paramstyle=style)
        self.insert: Any = sqlite.insert if kind.name == "sqlite" else postgresql.insert

    def __call__(self, statement: ClauseElement | Executable, *parameters: str) -> str:
        """The text; `parameters` says in which order the caller will give them."""
        compiled = statement.compile(dialect=self.dialect)  # type: ignore[union-attr]
        order = tuple(getattr(compiled, "positiontup", None) or ())
        assert order == parameters, f"{compiled} wants {order}, not {parameters}"
        return str(compiled)

    def upsert(self, table: Any, key: str, value: str) -> str:
        statement = self.insert(table).values({key: bindparam(key), value: bindparam(value)})
        changed = statement.on_conflict_do_update(index_elements=[key], set_={value: statement.excluded[value]})
        return self(changed, key, value)

    def rows(self) -> Callable[[Any], RowStatements]:
        """The statements of tables of rows. They are alike but for their name, so one is compiled, and the others are it by another name."""
        model = tables.operational
        compiled = self._rows(model)

        def named(table: Any) -> RowStatements:
            texts = {field.name: getattr(compiled, field.name).replace(model.name, table.name) for field in fields(RowStatements)}
            return RowStatements(**texts)

        return named

    def _rows(self, table: Any) -> RowStatements:
        key, body = table.c.key, table.c.body
        within = (key >= bindparam("low")) & (key < bindparam("high"))
        above = (key > bindparam("low")) & (key < bindparam("high"))
        most = bindparam("most", type_=Integer)
        return RowStatements(
            get=self(select(body).where(key == bindparam("k")), "k"),
            scan=self(select(key, body).where(within).order_by(key), "low", "high"),
            last=self(select(key, body).where(within).order_by(key.desc()).limit(most).offset(_word(0)), "low", "high", "most"),
            next=self(select(key, body).where(above).order_by(key).limit(most).offset(_word(0)), "low", "high", "most"),
            everything=self(select(key, body).order_by(key)),
            put=self.upsert(table, "key", "body"),
            add=self(insert(table).values(key=bindparam("key"), body=bindparam("body")), "key", "body"),
            delete=self(delete(table).where(key == bindparam("k")), "k"),
            clear=self(delete(table)),
            count=self(select(func.count()).select_from(table)),
        )


def compile_statements(dialect: Dialect) -> Statements:
    """Everything for one kind of database, compiled once in a process: it takes longer than to open a database."""
    kind: Any = type(dialect)  # mypy holds a class of Dialect to be no key of a cache
    return _compiled(kind)


def compile_making(dialect: Dialect) -> Mapping[str, tuple[str, ...]]:
    """What makes each table, with its indexes, in the order in which they are made."""
    kind: Any = type(dialect)
    return _making(kind)


@cache
def _making(kind: Any) -> Mapping[str, tuple[str, ...]]:
    dialect = kind()
    found: dict[str, tuple[str, ...]] = {}
    for table in tables.metadata.sorted_tables:
        parts: list[ExecutableDDLElement] = [CreateTable(table), *map(CreateIndex, table.indexes)]
        found[table.name] = tuple(str(part.compile(dialect=dialect)) for part in parts)
    return found


@cache
def _compiled(kind: Any) -> Statements:
    sql = _Compiler(kind)
    event, head, meta = tables.event, tables.head, tables.meta
    checkpoint = tables.checkpoint
    first_from = select(func.min(checkpoint.c.size)).where(checkpoint.c.size >= bindparam("size_")).scalar_subquery()
    checkpoints = select(checkpoint.c.size, checkpoint.c.note).order_by(checkpoint.c.size)
    rows = sql.rows()
    operational = rows(tables.operational)
    fold_hash = select(meta.c.value).where(meta.c.key == _word("fold_hash")).scalar_subquery()
    read_head = select(head.c.size, head.c.frontier, head.c.at, head.c.fence, fold_hash).where(head.c.id == _word(1))
    return Statements(
        head=sql(read_head),
        set_head=sql(
            update(head).where(head.c.id == _word(1)).values(size=bindparam("size_"), frontier=bindparam("frontier_"), at=bindparam("at_")),
            "size_",
            "frontier_",
            "at_",
        ),
        set_fence=sql(update(head).where(head.c.id == _word(1)).values(fence=bindparam("fence_")), "fence_"),
        append=sql(insert(event).values({name: bindparam(name) for name in event.c.keys()}), *event.c.keys()),  # noqa: SIM118
        events=sql(
            select(event.c.seq, event.c.body)
            .where(event.c.seq > bindparam("after"), event.c.seq <= bindparam("last"))
            .order_by(event.c.seq),
            "after",
            "last",
        ),
        all_events=sql(select(event).order_by(event.c.seq)),
        event=sql(select(event.c.body).where(event.c.seq == bindparam("seq_")), "seq_"),
        hashes=sql(select(event.c.hashes).where(event.c.seq == bindparam("seq_")), "seq_"),
        command=sql(select(func.min(event.c.seq), func.max(event.c.seq)).where(event.c.command == bindparam("command_")), "command_"),
        commands=sql(
            select(event.c.command).where(event.c.command >= bindparam("low"), event.c.command < bindparam("high")).distinct(),
            "low",
            "high",
        ),
        set_command=sql(update(event).where(event.c.seq == bindparam("seq_")).values(command=bindparam("command_")), "command_", "seq_"),
        new_head=sql(
            insert(head).inline().values(id=_word(1), size=_word(0), frontier=bindparam("frontier"), at=_word(0), fence=_word(0)),
            "frontier",
        ),
        add_checkpoint=sql(insert(checkpoint).values(size=bindparam("size_"), note=bindparam("note_")), "size_", "note_"),
        checkpoints=sql(checkpoints),
        checkpoint_from=sql(checkpoints.where(checkpoint.c.size == first_from), "size_"),
        last_checkpoint=sql(checkpoints.where(checkpoint.c.size == select(func.max(checkpoint.c.size)).scalar_subquery())),
        set_meta=sql.upsert(meta, "key", "value"),
        get_meta=sql(select(meta.c.value).where(meta.c.key == bindparam("k")), "k"),
        rows={name: rows(table) for name, table in tables.PROJECTIONS.items()},
        personal=rows(tables.personal),
        operational_get=operational.get,
        operational_put=operational.put,
        operational_delete=operational.delete,
    )


def _word(value: str | int) -> Any:
    """A constant of this file, written into the text rather than passed along."""
    return literal_column(f"'{value}'" if isinstance(value, str) else str(value))
