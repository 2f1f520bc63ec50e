"""Things that wait on the side, in memory while they are few and in a nameless file when they are not."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar

from pqstore.storage.disk.system_errors import file_errors

__all__ = ["Spool"]

_IN_MEMORY = 64 << 20  # bytes

Item = TypeVar("Item")


class Spool(Generic[Item]):
    """Filled once, then read once; a context manager. Its file lies in `directory`, and goes with the process."""

    def __init__(self, directory: Path, in_memory: int = _IN_MEMORY) -> None:
        from tempfile import SpooledTemporaryFile  # noqa: PLC0415 # few add what they do not have yet

        self._directory = directory
        self._file = SpooledTemporaryFile(max_size=in_memory, dir=str(directory))  # noqa: SIM115 - closed by __exit__

    def put(self, item: Item) -> None:
        """Keep something that can be pickled. Raises `StorageFullError`."""
        with file_errors(self._directory):
            pickle.dump(item, self._file, protocol=pickle.HIGHEST_PROTOCOL)

    def __iter__(self) -> Iterator[Item]:
        """Everything that was put, in order."""
        self._file.seek(0)
        while True:
            try:
                item = pickle.load(self._file)
            except EOFError:
                return
            yield item

    def __enter__(self) -> Spool[Item]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
