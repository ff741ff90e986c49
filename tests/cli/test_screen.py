"""What is shown fits the terminal; what is piped stays whole."""

import contextlib
import io
from collections.abc import Callable

import pytest

from flyball.cli.output import Bar, Output
from flyball.cli.screen import fitted
from flyball.errors import plain

HEAD = ("ID", "MODEL", "WHY")
ROW = ("ro_01M8APRHSG0Q5KCB25J0", "demand", "released by the loop because every gate passed and nobody was against it")


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")


def lines_on_a_terminal(show: Callable[[Output], None]) -> list[str]:
    stream = Terminal()
    with contextlib.redirect_stdout(stream):
        show(Output(as_json=False))
    return stream.getvalue().splitlines()


def test_a_table_fits_the_terminal_and_says_all_of_every_cell() -> None:
    head, *lines = lines_on_a_terminal(lambda out: out.table(HEAD, [ROW, ("ro_2", "demand", "short")]))
    assert max(map(len, (head, *lines))) <= 60
    assert lines[0].startswith(f"{ROW[0]}  demand  released by the loop")
    place = head.index("WHY")
    assert " ".join(line[place:] for line in lines[:-1]) == ROW[2]
    assert all(line[:place].strip() == "" for line in lines[1:-1]), "what goes on below stands in its column"
    assert lines[-1].split() == ["ro_2", "demand", "short"]


def test_no_word_is_cut_where_columns_cannot_fit_for_it_may_be_a_name() -> None:
    _, row = lines_on_a_terminal(lambda out: out.table([str(place) for place in range(20)], [["0123456789"] * 20]))
    assert row.count("0123456789") == 20


def test_a_long_line_goes_on_below_between_words() -> None:
    *lines, last = lines_on_a_terminal(lambda out: out.line(f"  why  {'word ' * 30}end\nshort"))
    assert last == "short"
    assert max(map(len, lines)) <= 60
    assert " ".join(" ".join(lines).split()) == f"why {'word ' * 30}end"
    assert all(line.startswith("      word") for line in lines[1:])


def test_a_colour_takes_no_room_and_a_long_word_stays_whole() -> None:
    told = f"\x1b[32mPASS\x1b[0m {'x' * 55}"
    assert fitted(told, Terminal()) == told
    assert fitted("/" + "x" * 100, Terminal()) == "/" + "x" * 100


def test_what_is_piped_stays_whole(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    out.table(HEAD, [ROW])
    out.line("word " * 100)
    said = capsys.readouterr().out
    assert ROW[2] in said
    assert said.count("\n") == 3


def test_control_characters_are_written_out_but_for_our_colours() -> None:
    assert plain("a\x00\x1b[2Jb\x07\r\x9b\tc\nd\x1b[31me\x1b[0m") == "a\\x00\\x1b[2Jb\\x07\\x0d\\x9b\tc\nd\x1b[31me\x1b[0m"


@pytest.mark.parametrize(("done", "lines"), [(1, 0), (3, 1)])
def test_on_a_pipe_a_bar_is_written_when_it_is_full(done: int, lines: int, capsys: pytest.CaptureFixture[str]) -> None:
    bar = Bar(Output(as_json=False), "search")
    bar.show(done / 3, f"{done}/3")
    bar.end()
    assert len(capsys.readouterr().err.splitlines()) == lines


def test_a_cell_that_is_piped_stays_whole_and_obeys_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).table(("A", "B"), [("bad \x1b[2J\x07 value", "next")])
    assert capsys.readouterr().out.splitlines()[1] == "bad \\x1b[2J\\x07 value  next"
