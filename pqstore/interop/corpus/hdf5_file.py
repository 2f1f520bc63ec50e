"""HDF5 in the shape of ann-benchmarks: two-dimensional data sets named train, test, neighbors, distances."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError, MissingDependencyError
from pqstore.interop.corpus.array_files import read_block, read_rows
from pqstore.interop.corpus.corpus import Corpus, check_sizes

__all__ = ["Hdf5Corpus"]


class Hdf5Corpus(Corpus):
    """One data set (n, D) of an HDF5 file; "train" unless another one is named."""

    def __init__(self, path: Path, member: str | None = None) -> None:
        self._h5py = _h5py()
        self.name, self._path, self._member = str(path), path, member or "train"
        with self._open() as file:
            dataset = file.get(self._member)
            if not isinstance(dataset, self._h5py.Dataset):
                known = ", ".join(list(file)[:8])
                raise CorpusFileError(
                    f"{path} has no data set {self._member!r}, it has: {known}; name one as {path}:NAME"
                )
            if dataset.ndim != 2 or dataset.dtype.kind not in "fiu":
                raise CorpusFileError(
                    f"{path}:{self._member}: numbers of shape (n, D) expected, "
                    f"got {dataset.dtype} of shape {dataset.shape}"
                )
            self.n, self.D = (int(size) for size in dataset.shape)
            self.dtype = np.dtype(dataset.dtype)
            # Where the rows lie one after another in the file; None for chunks and filters.
            self._offset: int | None = dataset.id.get_offset()
        check_sizes(self.name, self.n, self.D, 0)
        size = path.stat().st_size
        if self._offset is not None and self._offset + self.n * self.D * self.dtype.itemsize > size:
            raise CorpusFileError(
                f"{path}: at byte {self._offset}: {self.n} x {self.D} {self.dtype} expected, "
                f"but the file has {size} bytes"
            )

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        if self._offset is not None:
            return read_rows(self._path, self._offset, start, rows, self.D, self.dtype)
        with self._open() as file:
            return self._part(file, start, rows)

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        assert self.n is not None
        step = self.block_rows(rows)
        if self._offset is not None:
            with self._path.open("rb", buffering=0) as stream:
                stream.seek(self._offset)
                for start in range(0, self.n, step):
                    yield read_block(stream, self.name, min(step, self.n - start), self.D, self.dtype)
            return
        with self._open() as file:
            for start in range(0, self.n, step):
                yield self._part(file, start, min(step, self.n - start))

    @contextmanager
    def _open(self) -> Iterator[Any]:
        """The file; what h5py raises over damaged bytes, then or later, becomes our error."""
        if not self._path.exists():
            raise FileNotFoundError(f"there is no file {self._path}")
        try:
            with self._h5py.File(self._path, "r") as file:
                yield file
        except CorpusFileError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CorpusFileError(f"{self._path} is no sound HDF5 file: {reason}") from error

    def _part(self, file: Any, start: int, rows: int) -> npt.NDArray[Any]:
        part: npt.NDArray[Any] = file[self._member][start : start + rows]
        return part


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ModuleNotFoundError as error:
        if error.name != "h5py":
            raise
        raise MissingDependencyError("HDF5 files need h5py: pip install 'pqstore[hdf5]'") from error
