"""What the command says: results on standard output; progress, as a bar or as lines, on standard error."""

from __future__ import annotations

import codecs
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from pqstore.cli.json_text import json_text
from pqstore.cli.printed import printable

if TYPE_CHECKING:
    from pqstore.quantizer import Progress

__all__ = ["Report"]

# A line of progress this often where there is no terminal, in seconds.
_LINE_SECONDS = 5.0

Advance: TypeAlias = Callable[[int], None]


class Report:
    """Results go to standard output, progress and notes to standard error."""

    def say(self, line: str = "") -> None:
        """One line of the result; what a terminal would obey in it is escaped."""
        print(printable(line))

    def note(self, line: str) -> None:
        """One line about the work, not part of the result."""
        print(printable(line), file=sys.stderr)

    def json(self, value: Any) -> None:
        """One value as one line of JSON."""
        print(json_text(value, ascii_only=not _is_unicode(sys.stdout)))

    def script(self, text: str) -> None:
        """A text of ours of many lines, as it is."""
        print(text)

    def rows(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Names and values in two columns."""
        table = [(name, str(value)) for name, value in pairs]
        width = max((len(name) for name, _ in table), default=0)
        for name, value in table:
            self.say(f"{name:<{width}}  {value}")

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table with a line of names; every column but the first to the right."""
        cells = [[printable(str(cell)) for cell in row] for row in rows]
        if sys.stdout.isatty() and _has_rich():
            _rich_table(columns, cells)
            return
        widths = [max(len(cell) for cell in column) for column in zip(columns, *cells, strict=True)]
        for row in (columns, *cells):
            first, *rest = (
                f"{cell:{'<' if place == 0 else '>'}{width}}"
                for place, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            self.say("  ".join([first, *rest]).rstrip())

    @contextmanager
    def counter(self, what: str, total: int | None, done: int = 0) -> Iterator[Advance]:
        """A function to call with every number of rows that have gone by: shows how many of `total`, rate, time left.

        `done` rows had gone by before: they do not count for the rate.
        """
        with (_bar if sys.stderr.isatty() and _has_rich() else _lines)(what, total, done) as advance:
            yield advance

    def progress(self, blocks: Iterable[Any], total: int | None, what: str) -> Iterator[Any]:
        """Pass blocks of rows on, and show how many rows have gone by."""
        with self.counter(what, total) as advance:
            for block in blocks:
                yield block
                advance(len(block))

    @contextmanager
    def streaming(self, what: str, total: int | None) -> Iterator[Advance]:
        """As `counter`, while results are printed; on a terminal those show how far the work is."""
        if sys.stdout.isatty():
            yield lambda _: None
            return
        with self.counter(what, total) as advance:
            yield advance

    @contextmanager
    def training(self, what: str) -> Iterator[Progress]:
        """A function for `fit(progress=...)`: iterations done, and the error."""
        with (_training_bar if sys.stderr.isatty() and _has_rich() else _training_lines)(what) as step:
            yield step


def _is_unicode(stream: TextIO) -> bool:
    """Whether every character can be written to a stream (one in memory has no encoding)."""
    return codecs.lookup(getattr(stream, "encoding", None) or "utf-8").name.startswith("utf-")


def _has_rich() -> bool:
    """rich is an extra; plain text does without it."""
    from importlib.util import find_spec

    return find_spec("rich") is not None


def _rich_table(columns: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place == 0 else "right")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


@contextmanager
def _bar(what: str, total: int | None, done: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, completed=done, rate="")
        new = 0

        def advance(rows: int) -> None:
            nonlocal new
            new += rows
            rate = new / max(time.monotonic() - started, 1e-9)
            bar.update(task, completed=done + new, rate=f"{rate:,.0f} rows/s")

        yield advance


@contextmanager
def _lines(what: str, total: int | None, done: int) -> Iterator[Advance]:
    started = said = time.monotonic()
    new = 0

    def advance(rows: int) -> None:
        nonlocal new, said
        new += rows
        now = time.monotonic()
        if now - said < _LINE_SECONDS:
            return
        said = now
        rate = new / (now - started)
        left = "" if total is None else f" of {total:,} rows, {(total - done - new) / max(rate, 1e-9):,.0f} s left"
        print(f"{what}: {done + new:,}{left}, {rate:,.0f} rows/s", file=sys.stderr)

    yield advance


@contextmanager
def _training_bar(what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[error]}"), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True)) as bar:
        tasks: dict[str, Any] = {}

        def step(state: Any) -> None:
            if state.stage not in tasks:
                tasks[state.stage] = bar.add_task(f"{what}, {state.stage}", total=state.total, error="")
            bar.update(tasks[state.stage], completed=state.done, error=f"error {state.error:.5g}")

        yield step


@contextmanager
def _training_lines(what: str) -> Iterator[Progress]:
    said = time.monotonic()

    def step(state: Any) -> None:
        nonlocal said
        now = time.monotonic()
        if now - said >= _LINE_SECONDS:
            said = now
            message = f"{what}, {state.stage}: {state.done} of {state.total} iterations, error {state.error:.5g}"
            print(message, file=sys.stderr)

    yield step
