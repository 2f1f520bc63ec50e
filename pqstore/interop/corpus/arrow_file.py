"""Parquet and Arrow (IPC, Feather 2) files: a column of lists of equal length, and perhaps a column of ids."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import CorpusFileError, MissingDependencyError
from pqstore.interop.corpus.corpus import Corpus, Ids, check_sizes

__all__ = ["ArrowCorpus"]

_ID_NAMES = ("id", "ids", "_id", "key")


class ArrowCorpus(Corpus):
    """The vectors of the one column of lists of numbers (or the one that is named), ids of the column "id" if any."""

    def __init__(self, path: Path, member: str | None = None) -> None:
        self._arrow = _pyarrow("pyarrow")
        self.name, self._path = str(path), path
        self._is_parquet = path.suffix.lower() in (".parquet", ".pq")
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        with self._guard():
            schema, self.n = self._schema_and_rows()
        lists = [f.name for f in schema if self._is_list(f.type)]
        if member is None and len(lists) != 1:
            raise CorpusFileError(
                f"{path}: one column of lists of numbers expected, got {lists or 'none'} "
                f"among {schema.names[:8]}; name one as {path}:COLUMN"
            )
        self._column = lists[0] if member is None else member
        if self._column not in lists:
            raise CorpusFileError(f"{path}: a column of lists of numbers expected in {self._column!r}, got {schema}")
        type_ = schema.field(self._column).type
        self.dtype = np.dtype(type_.value_type.to_pandas_dtype())
        named = [name for name in _ID_NAMES if name in schema.names]
        self._id_column = named[0] if named else None
        if self._arrow.types.is_fixed_size_list(type_):
            self.D = int(type_.list_size)
        else:  # the first row says; every other one is checked against it
            first = next(self._batches([self._column], 1), None)
            if first is None or len(first) == 0:
                raise CorpusFileError(f"{path}: lists of variable length and no rows: no dimension is known")
            lengths = self._arrow.compute.list_value_length(first.column(0))[:1].to_pylist()
            self.D = int(lengths[0] or 0)
        check_sizes(self.name, self.n, self.D, 0)

    def read(self, start: int, rows: int) -> npt.NDArray[Any]:
        return self.scan(start, rows)

    def blocks(self, rows: int | None = None) -> Iterator[npt.NDArray[Any]]:
        seen = 0
        for batch in self._batches([self._column], self.block_rows(rows)):
            yield self._vectors(batch.column(0), seen)
            seen += len(batch)
        if seen != self.n:
            raise CorpusFileError(f"{self.name}: {self.n} rows expected, got {seen}")

    def id_blocks(self, rows: int | None = None) -> Iterator[Ids] | None:
        return None if self._id_column is None else self._ids(self.block_rows(rows))

    def _ids(self, rows: int) -> Iterator[Ids]:
        seen = 0
        for batch in self._batches([self._id_column], rows):
            column = batch.column(0)
            types = self._arrow.types
            if column.null_count:
                raise CorpusFileError(f"{self.name}: an id in every row of {self._id_column!r} expected, got null")
            if types.is_integer(column.type):
                yield column.to_numpy(zero_copy_only=False)
            elif types.is_string(column.type) or types.is_large_string(column.type):
                yield column.to_pylist()
            else:
                raise CorpusFileError(
                    f"{self.name}: integers or strings expected in {self._id_column!r}, got {column.type}"
                )
            seen += len(batch)

    def _vectors(self, column: Any, first: int) -> npt.NDArray[Any]:
        if column.null_count:
            row = first + int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise CorpusFileError(f"{self.name}: a list of {self.D} values in row {row} expected, got null")
        if not self._arrow.types.is_fixed_size_list(column.type):
            lengths = self._arrow.compute.list_value_length(column).to_numpy(zero_copy_only=False)
            other = np.flatnonzero(lengths != self.D)
            if len(other):
                row = int(other[0])
                raise CorpusFileError(
                    f"{self.name}: a list of {self.D} values in row {first + row} expected, got {int(lengths[row])}"
                )
        values = column.flatten()
        if values.null_count:
            raise CorpusFileError(f"{self.name}: numbers expected in {self._column!r}, got null after row {first}")
        return values.to_numpy(zero_copy_only=False).reshape(-1, self.D)

    def _batches(self, columns: list[Any], rows: int) -> Iterator[Any]:
        """Record batches of at most, and but for the last exactly, `rows` rows."""
        pending: list[Any] = []
        count = 0
        with self._guard():
            for batch in self._raw_batches(columns, rows):
                pending.append(batch)
                count += len(batch)
                while count >= rows:
                    table = self._arrow.Table.from_batches(pending)
                    yield self._joined(table.slice(0, rows))
                    rest = table.slice(rows)
                    pending, count = rest.to_batches(), len(rest)
            if count:
                yield self._joined(self._arrow.Table.from_batches(pending))

    def _joined(self, table: Any) -> Any:
        return table.combine_chunks().to_batches()[0]

    def _raw_batches(self, columns: list[Any], rows: int) -> Iterator[Any]:
        if self._is_parquet:
            with _pyarrow("pyarrow.parquet").ParquetFile(self._path, memory_map=True) as file:
                yield from file.iter_batches(batch_size=rows, columns=columns)
            return
        with self._arrow.memory_map(str(self._path)) as source:
            reader = self._arrow.ipc.open_file(source)
            for i in range(reader.num_record_batches):
                yield reader.get_batch(i).select(columns)

    def _schema_and_rows(self) -> tuple[Any, int]:
        _pyarrow("pyarrow.compute")
        if self._is_parquet:
            with _pyarrow("pyarrow.parquet").ParquetFile(self._path, memory_map=True) as file:
                return file.schema_arrow, int(file.metadata.num_rows)
        with self._arrow.memory_map(str(self._path)) as source:
            reader = self._arrow.ipc.open_file(source)
            return reader.schema, sum(reader.get_batch(i).num_rows for i in range(reader.num_record_batches))

    def _is_list(self, type_: Any) -> bool:
        types = self._arrow.types
        if not (types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_)):
            return False
        return bool(types.is_integer(type_.value_type) or types.is_floating(type_.value_type))

    def _guard(self) -> _Guard:
        return _Guard(self._arrow, self.name)


class _Guard:
    """Turns what pyarrow raises over damaged bytes into our error."""

    def __init__(self, arrow: Any, name: str) -> None:
        self._arrow, self._name = arrow, name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, (self._arrow.ArrowException, OSError)) and not isinstance(error, FileNotFoundError):
            message = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CorpusFileError(f"{self._name} is no sound Parquet or Arrow file: {message}") from error


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise MissingDependencyError("Parquet and Arrow files need pyarrow: pip install 'pqstore[parquet]'") from error
