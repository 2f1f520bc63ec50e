"""A handle's share of an open index, which garbage collection gives back where nobody closes it."""

from __future__ import annotations

import os
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pqstore.errors import IndexClosedError, IndexReplacedError
from pqstore.storage.transactions.open_index import SharedIndex

__all__ = ["Reference"]


class Reference:
    """One of the references that `share` counts; whoever makes this hands it over."""

    def __init__(self, shared: SharedIndex, path: Path) -> None:
        self._shared: SharedIndex | None = shared
        self._pid = os.getpid()
        self._replaced: str | None = None  # what happened to the directory, as an error says it
        self.path = path
        """Where the index is found."""
        self.to_publish: Path | None = None
        """Where it shall be found: until then nobody but this handle can finish what lies at `path`."""

    @property
    def closed(self) -> bool:
        return self._shared is None

    def shared(self) -> SharedIndex:
        """The index. Raises `IndexClosedError`, or `IndexReplacedError` when another was found in its place."""
        if self._replaced is not None:
            raise IndexReplacedError(self._replaced)
        if self._shared is None:
            raise IndexClosedError(f"the index at {self.path} is closed")
        return self._shared

    def close(self) -> None:
        """Give it back; what nobody can finish is removed."""
        shared, self._shared = self._shared, None
        self._replaced = None
        if shared is not None:
            shared.release()
            if self._is_unfinished():
                shutil.rmtree(self.path)

    def let_go(self, error: IndexReplacedError) -> None:
        """Give back what is left of an index in whose place another was found; every call raises this from now on."""
        shared, self._shared, self._replaced = self._shared, None, str(error)
        if shared is not None:
            shared.release()

    @contextmanager
    def letting_go(self) -> Iterator[None]:
        """The same when the block finds another index there."""
        try:
            yield
        except IndexReplacedError as error:
            self.let_go(error)
            raise

    @contextmanager
    def closed_if_it_fails(self) -> Iterator[None]:
        """For what is tried before anybody has the handle."""
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _is_unfinished(self) -> bool:
        return self.to_publish is not None and self._pid == os.getpid()  # a forked child has no say in it

    def __del__(self) -> None:
        """As files do it: with a warning. Snapshots that are still open stay good."""
        shared = getattr(self, "_shared", None)
        if shared is None or sys.is_finalizing():
            return
        self._shared = None
        try:
            warnings.warn(f"the index at {self.path} was not closed", ResourceWarning, stacklevel=2, source=self)
        finally:
            shared.release(at_any_moment=True)
            if self._is_unfinished():
                shutil.rmtree(self.path, ignore_errors=True)
