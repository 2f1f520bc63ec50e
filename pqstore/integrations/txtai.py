"""`PQStoreANN`: an index as a backend of txtai's embeddings."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pqstore.errors import MissingDependencyError
from pqstore.index import Index
from pqstore.storage.disk.directory import sync_directory

try:
    from txtai.ann import ANN
except ImportError as error:
    raise MissingDependencyError("txtai's backend needs txtai: pip install 'pqstore[txtai]'") from error

__all__ = ["PQStoreANN"]

_SETTINGS = "pqstore"  # the key of txtai's configuration that holds those of the index
_SEARCH = "search"


class PQStoreANN(ANN):
    """Vectors under the numbers that txtai gives them; scores are inner products.

    txtai takes it by its path, ``Embeddings(backend="pqstore.integrations.txtai.PQStoreANN")``. What ``pqstore={...}``
    beside it holds goes to `Index.create` (``train_at``, ``originals``, ``partitions``, ...), and what it has under
    "search" to every search (``rerank``, ``nprobe``, ...).

    Changes count when they are saved, as txtai has it: what is loaded is read in place, and copied before a change.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        """For txtai only."""
        super().__init__(config)
        self._scratch: str | None = None
        """Where the index lies that is not saved yet; None: it is the one that was loaded, or none."""

    def load(self, path: str | os.PathLike[str]) -> None:
        """Open what was saved at a path."""
        self.close()
        _finish_save(Path(path))
        self.backend = Index.open(path)

    def index(self, embeddings: Any) -> None:
        """Make a new index of these vectors, numbered from 0."""
        self.close()
        given = self._settings()
        given.pop(_SEARCH, None)
        self.backend = Index.create(self._new_place(), metric="dot", dim=int(np.shape(embeddings)[1]), **given)
        count = self._add(embeddings, 0)
        self.config["offset"] = count
        self.metadata({"metric": "dot", **given})

    def append(self, embeddings: Any) -> None:
        """Add vectors, numbered on from those before."""
        self._make_writable()
        self.config["offset"] += self._add(embeddings, self.config["offset"])
        self.metadata()

    def _add(self, embeddings: Any, first: int) -> int:
        count = len(embeddings)
        if count:
            self.backend.add(embeddings, np.arange(first, first + count), "replace")
        return count

    def delete(self, ids: Any) -> None:
        """Remove vectors by number; those that are not there are passed over."""
        if len(ids):
            self._make_writable()
            self.backend.remove(np.asarray(ids, dtype=np.int64), missing="ignore")

    def search(self, queries: Any, limit: int) -> list[list[tuple[int, float]]]:
        """The nearest of each query, nearest first: (number, score)."""
        asked = self._settings().get(_SEARCH) or {}
        hits = self.backend.search(np.atleast_2d(queries), limit, **asked)
        return [[(hit["id"], hit["distance"]) for hit in query] for query in hits.to_dicts()]

    def count(self) -> int:
        """How many vectors there are."""
        return len(self.backend)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Put the index at a path, in place of what is there, whole and durably.

        A kill at any moment leaves this one or the one before, which `load` opens.
        """
        target = Path(os.path.abspath(path))  # noqa: PTH100 # links on the way stay what they are
        if self._scratch is None and Path(self.backend.path) == target:
            return
        _finish_save(target)
        new, old = _beside(target, ".new"), _beside(target, ".old")
        _remove(new)
        _remove(old)
        self.backend.backup(new)
        if target.exists():
            target.rename(old)
        new.rename(target)
        sync_directory(target.parent)
        _remove(old)

    def close(self) -> None:
        """Let go of the index; what was not saved is gone."""
        if self.backend is not None:
            self.backend.close()
        super().close()
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def _settings(self) -> dict[str, Any]:
        return dict(self.config.get(_SETTINGS) or {})

    def _new_place(self) -> str:
        self._scratch = tempfile.mkdtemp(prefix="pqstore-")
        return str(Path(self._scratch) / "index")

    def _make_writable(self) -> None:
        if self._scratch is None:
            saved = self.backend
            saved.backup(self._new_place())
            self.backend = Index.open(Path(str(self._scratch)) / "index")
            saved.close()


def _finish_save(target: Path) -> None:
    """A save that was killed between its two renames left nothing at `target`, and all of the index beside it."""
    new = _beside(target, ".new")
    if new.exists() and not target.exists():
        new.rename(target)


def _beside(target: Path, ending: str) -> Path:
    return target.with_name(target.name + ending)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
