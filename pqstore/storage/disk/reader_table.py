"""LMDB's table of readers: which snapshots are open, in all processes."""

from __future__ import annotations

from typing import Any

__all__ = ["ReaderTable"]


class ReaderTable:
    """That of an environment of LMDB; `clearing`: this process may write to it."""

    def __init__(self, environment: Any, *, clearing: bool) -> None:
        self._lmdb = environment
        self._clearing = clearing

    def clear(self) -> int:
        """Clear the slots of readers whose process is gone; how many there were."""
        return int(self._lmdb.reader_check())

    def snapshots(self) -> list[int]:
        """Transaction numbers of the open snapshots of all processes."""
        if self._clearing:
            self.clear()
        # LMDB gives its table as text: a heading, then lines of process, thread and transaction ("-" when idle)
        fields = [line.split() for line in str(self._lmdb.readers()).splitlines()]
        return [int(line[2]) for line in fields if len(line) == 3 and line[2].isdigit()]

    def lag(self) -> tuple[int, int]:
        """(commits since the oldest open snapshot, open snapshots), over all processes."""
        snapshots = self.snapshots()
        return (int(self._lmdb.info()["last_txnid"]) - min(snapshots) if snapshots else 0), len(snapshots)
