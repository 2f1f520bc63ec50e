"""HDF5: two-dimensional data sets, at the top or in groups; ann-benchmarks names them train, test, neighbors."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError, MissingDependencyError
from pqstore.interop.corpus.array_files import read_block, read_rows
from pqstore.interop.corpus.corpus import Corpus, check_sizes
from pqstore.interop.corpus.statement import statements_in
from pqstore.interop.corpus.wanted import VECTORS, Wanted

__all__ = ["Hdf5Corpus"]


class Hdf5Corpus(Corpus):
    """One data set (n, D) of an HDF5 file: the one that is named, or usual, or the only one."""

    def __init__(self, path: Path, member: str | None = None, wanted: Wanted = VECTORS) -> None:
        self._h5py = _h5py()
        self.name, self._path = str(path), path
        with self._open() as file:
            self._member = member or self._usual(file, wanted.names)
            dataset = file.get(self._member)
            if not isinstance(dataset, self._h5py.Dataset):
                raise CorpusFileError(
                    f"{path} has no data set {self._member!r}, it has: {', '.join(self._data_sets(file)[:20])}; "
                    f"name one as {path}:NAME"
                )
            shape = (1, *dataset.shape) if wanted.single and dataset.ndim == 1 else dataset.shape
            if len(shape) != 2 or dataset.dtype.kind not in "fiu":
                raise CorpusFileError(
                    f"{path}:{self._member}: numbers of shape (n, D) expected, "
                    f"got {dataset.dtype} of shape {dataset.shape}"
                )
            self.n, self.D = (int(size) for size in shape)
            self._is_single = dataset.ndim == 1
            self.dtype = np.dtype(dataset.dtype)
            self._take_statements(dataset)
            if member is None and self._member not in wanted.names[:1]:
                self.remarks += (f"{path}: there is no {wanted.names[0]!r}, {self._member!r} is read",)
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
        dataset = file[self._member]
        part: npt.NDArray[Any] = dataset[:][None] if self._is_single else dataset[start : start + rows]
        return part

    def _usual(self, file: Any, names: Sequence[str]) -> str:
        """The first of these that there is, or else the only data set that could be meant."""
        for name in names:
            if name in file:
                return name
        only = self._data_sets(file, axes=2)
        return only[0] if len(only) == 1 else names[0]

    def _data_sets(self, file: Any, axes: int | None = None) -> list[str]:
        """The paths of all data sets, in groups too; or of those of numbers with so many axes."""
        names: list[str] = []

        def visit(name: str, item: Any) -> None:
            if isinstance(item, self._h5py.Dataset) and (
                axes is None or (item.ndim == axes and item.dtype.kind in "fiu")
            ):
                names.append(name)

        file.visititems(visit)
        return names

    def _take_statements(self, dataset: Any) -> None:
        """What the data set, or its groups from the inside out, say of metric and dimension."""
        places = [dataset]
        while places[-1].name != "/":
            places.append(places[-1].parent)
        for place in places:
            self.statements = statements_in(self.name, place.attrs, place.attrs.__getitem__)
            if self.statements:
                break
        # Of neighbours, in the same file, it says nothing.
        stated = [place.attrs["dimension"] for place in places if "dimension" in place.attrs][:1]
        if dataset.dtype.kind == "f" and stated and np.ndim(stated[0]) == 0 and stated[0] != self.D:
            self.remarks += (
                f"{self.name} says dimension = {stated[0]}, but {self._member!r} has {self.D}: it is read as it is",
            )


def _h5py() -> Any:
    try:
        return importlib.import_module("h5py")
    except ModuleNotFoundError as error:
        if error.name != "h5py":
            raise
        raise MissingDependencyError("HDF5 files need h5py: pip install 'pqstore[hdf5]'") from error
