"""The record batches of a Parquet file, or of an Arrow file or stream (IPC, Feather 2), column by column."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from pqstore.errors import CorpusFileError, MissingDependencyError

__all__ = ["ArrowTable"]

_FILE_MAGIC = b"ARROW1"


class ArrowTable:
    """A table in a file, of which some columns are read, a few rows at a time."""

    def __init__(self, path: Path, groups: range | None = None) -> None:
        """`groups`: only these of its row groups or record batches."""
        self.arrow = _pyarrow("pyarrow")
        _pyarrow("pyarrow.compute")
        self._path = path
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}")
        self._is_parquet = path.suffix.lower() in (".parquet", ".pq")
        with path.open("rb") as stream:
            self._is_stream = not self._is_parquet and stream.read(len(_FILE_MAGIC)) != _FILE_MAGIC
        with self._guard():
            self.schema, self.group_rows = self._schema_and_groups()
            self._groups = range(len(self.group_rows)) if groups is None else groups
            self.rows = sum(self.group_rows[group] for group in self._groups)
            self.names = list(self.schema.names)

    def batches(self, columns: Sequence[str], rows: int, valid: str | None = None) -> Iterator[Any]:
        """Record batches of at most, and but for the last exactly, `rows` rows of these columns.

        Dictionaries are decoded and extensions are what they are stored as. With `valid`, rows in which that column is
        null are left out.
        """
        read = [*columns, valid] if valid is not None and valid not in columns else list(columns)
        pending: list[Any] = []
        count = 0
        with self._guard():
            for batch in self._raw_batches(read):
                plain = self._plain(batch, read)
                if valid is not None:
                    plain = plain.filter(plain.column(read.index(valid)).is_valid())
                pending.append(plain.select(list(range(len(columns)))))
                count += len(plain)
                while count >= rows:
                    table = self.arrow.Table.from_batches(pending)
                    yield _joined(table.slice(0, rows))
                    rest = table.slice(rows)
                    pending, count = rest.to_batches(), len(rest)
            if count:
                yield _joined(self.arrow.Table.from_batches(pending))

    def index_of(self, column: str) -> int | None:
        """Where a column stands; None: there is none of this name.

        Raises:
            CorpusFileError: there are several.
        """
        places = self.schema.get_all_field_indices(column)
        if len(places) > 1:
            raise CorpusFileError(f"{self._path} has {len(places)} columns with the name {column!r}: rename them")
        return places[0] if places else None

    def _plain(self, batch: Any, columns: Sequence[str]) -> Any:
        arrays = []
        for name in columns:
            array = batch.column(batch.schema.get_field_index(name))
            if isinstance(array, self.arrow.ExtensionArray):
                array = array.storage
            if self.arrow.types.is_dictionary(array.type):
                array = array.dictionary_decode()
            arrays.append(array)
        plain = self.arrow.RecordBatch.from_arrays(arrays, [str(place) for place in range(len(arrays))])
        plain.validate(full=True)  # offsets that lie would be followed out of the file
        return plain

    def _raw_batches(self, columns: Sequence[str]) -> Iterator[Any]:
        if self._is_parquet:
            with self._mapped() as source, _pyarrow("pyarrow.parquet").ParquetFile(source) as file:
                yield from file.iter_batches(row_groups=list(self._groups), columns=list(columns))
            return
        with self._mapped() as source:
            if self._is_stream:
                yield from islice(self.arrow.ipc.open_stream(source), self._groups.start, self._groups.stop)
                return
            reader = self.arrow.ipc.open_file(source)
            for group in self._groups:
                yield reader.get_batch(group)

    def _schema_and_groups(self) -> tuple[Any, list[int]]:
        """The schema, and the rows of each row group or record batch."""
        if self._is_parquet:
            with self._mapped() as source, _pyarrow("pyarrow.parquet").ParquetFile(source) as file:
                data = file.metadata
                return file.schema_arrow, [int(data.row_group(i).num_rows) for i in range(data.num_row_groups)]
        with self._mapped() as source:
            if self._is_stream:
                reader = self.arrow.ipc.open_stream(source)
                return reader.schema, [int(batch.num_rows) for batch in reader]
            reader = self.arrow.ipc.open_file(source)
            return reader.schema, [int(reader.get_batch(i).num_rows) for i in range(reader.num_record_batches)]

    def _mapped(self) -> Any:
        # str would have to be UTF-8, which a file name need not be.
        return self.arrow.memory_map(str(self._path) if os.name == "nt" else os.fsencode(self._path))

    @contextmanager
    def _guard(self) -> Iterator[None]:
        """What pyarrow raises over damaged bytes becomes our error."""
        try:
            yield
        except FileNotFoundError:
            raise
        except (self.arrow.ArrowException, OSError, UnicodeDecodeError) as error:
            message = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CorpusFileError(f"{self._path} is no sound Parquet or Arrow file: {message}") from error


def _joined(table: Any) -> Any:
    return table.combine_chunks().to_batches()[0]


def _pyarrow(module: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise MissingDependencyError("Parquet and Arrow files need pyarrow: pip install 'pqstore[parquet]'") from error
