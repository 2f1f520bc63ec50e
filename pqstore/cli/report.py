"""What the command says while it works: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import Any

__all__ = ["Report"]

# A line of progress this often where there is no terminal, in seconds.
_LINE_SECONDS = 5.0


class Report:
    """Results go to standard output, progress to standard error."""

    def say(self, line: str = "") -> None:
        """One line of the result."""
        print(line)

    def rows(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Names and values in two columns."""
        table = [(name, str(value)) for name, value in pairs]
        width = max(len(name) for name, _ in table)
        for name, value in table:
            self.say(f"{name:<{width}}  {value}")

    def progress(self, blocks: Iterable[Any], total: int | None, what: str) -> Iterator[Any]:
        """Pass blocks of rows on, showing how many of `total` rows have gone by, the rate and the time left."""
        # rich is an extra; lines do without it.
        on_terminal = sys.stderr.isatty() and find_spec("rich") is not None
        return (_bar if on_terminal else _lines)(blocks, total, what)


def _bar(blocks: Iterable[Any], total: int | None, what: str) -> Iterator[Any]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    started = time.monotonic()
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=total, rate="")
        done = 0
        for block in blocks:
            yield block
            done += len(block)
            bar.update(task, completed=done, rate=f"{done / max(time.monotonic() - started, 1e-9):,.0f} rows/s")


def _lines(blocks: Iterable[Any], total: int | None, what: str) -> Iterator[Any]:
    started = said = time.monotonic()
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        now = time.monotonic()
        if now - said >= _LINE_SECONDS:
            said = now
            rate = done / (now - started)
            left = "" if total is None else f" of {total:,} rows, {(total - done) / rate:,.0f} s left"
            print(f"{what}: {done:,}{left}, {rate:,.0f} rows/s", file=sys.stderr)
