"""Rows of a table that speaks Arrow: its columns as vectors, ids and payloads."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence, Sized
from typing import Any, NamedTuple

from pqstore.errors import CorpusFileError, DimensionError, MissingDependencyError

__all__ = ["Columns", "TableRows", "rows_of_table", "stream_of"]


class TableRows(NamedTuple):
    """What `Index.add` takes."""

    vectors: Any
    ids: Any
    payloads: Any


class Columns(NamedTuple):
    """What the columns of a table are for."""

    vector: str
    id: str | None
    """ "id" where there is such a column."""
    payload: Sequence[str] | None
    """None: all others."""

    @classmethod
    def of(cls, vector: str, id: str | None, payload: Iterable[str] | str | None) -> Columns:
        """By the arguments of `Index.add_table`."""
        if payload is not None:
            payload = [payload] if isinstance(payload, str) else list(payload)
        return cls(vector, id, payload)


def rows_of_table(table: Any, columns: Columns) -> TableRows:
    """The rows of an Arrow table, of record batches, or of what hands over an Arrow stream.

    Raises:
        TypeError: it is none. ValueError: there is no such column. CorpusFileError: a column of no such use.
        MissingDependencyError: pyarrow is not installed.
    """
    arrow = _pyarrow()
    whole = _as_table(arrow, table)
    names = whole.column_names
    vector, id, payload = columns
    for name in (vector, *([] if id is None or id == "id" else [id]), *(payload or ())):
        if name not in names:
            raise ValueError(f"the table has no column {name!r}: it has {', '.join(map(repr, names)) or 'none'}")
    id = id if id in names else None
    keys = [name for name in names if name not in (vector, id)] if payload is None else list(payload)
    used = list(dict.fromkeys([vector, *([] if id is None else [id]), *keys]))
    for name in used:
        if names.count(name) > 1:
            raise ValueError(f"the table has {names.count(name)} columns with the name {name!r}: rename them")
    _validate(arrow, whole.select(used))
    return TableRows(_vectors(arrow, whole, vector), _ids(arrow, whole, id), _payloads(arrow, whole, keys))


def stream_of(table: Any) -> Any:
    """The reader of a stream of record batches, which may be larger than memory; None: it is something whole.

    What knows its length is at hand as a whole, as frames are, and is handed over as one.

    Raises:
        MissingDependencyError: pyarrow is not installed.
    """
    if not hasattr(table, "__arrow_c_stream__") or isinstance(table, Sized):
        return None
    reader = _pyarrow().RecordBatchReader
    return table if isinstance(table, reader) else reader.from_stream(table)


def _pyarrow() -> Any:
    try:
        return importlib.import_module("pyarrow")
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        raise MissingDependencyError("tables are read by pyarrow: pip install 'pqstore[parquet]'") from error


def _validate(arrow: Any, table: Any) -> None:
    """Whoever made the table may have filled its buffers by hand, and offsets that lie would be followed out of them.

    Raises:
        CorpusFileError: names what is wrong.
    """
    try:
        table.validate(full=True)
    except arrow.ArrowException as error:
        raise CorpusFileError(f"the table is not sound: {error}") from error


def _compute() -> Any:
    return importlib.import_module("pyarrow.compute")


def _as_table(arrow: Any, table: Any) -> Any:
    if isinstance(table, arrow.Table):
        return table
    if isinstance(table, arrow.RecordBatch):
        return arrow.Table.from_batches([table])
    if hasattr(table, "__arrow_c_stream__"):
        return arrow.RecordBatchReader.from_stream(table).read_all()
    if isinstance(table, (list, tuple)) and all(isinstance(batch, arrow.RecordBatch) for batch in table) and table:
        return arrow.Table.from_batches(table)
    raise TypeError(
        f"a table is one of Arrow's, record batches, or what has __arrow_c_stream__ (polars, pandas); got "
        f"{type(table).__name__}"
    )


def _vectors(arrow: Any, table: Any, name: str) -> Any:
    column = table.column(name).combine_chunks()
    types = arrow.types
    if not (types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type)):
        raise DimensionError(f"the column {name!r} holds {column.type}: vectors are lists of numbers")
    if column.null_count:
        return column.to_pylist()
    lengths = set(_compute().list_value_length(column).to_pylist())
    if not lengths:
        return []
    flat = column.flatten()
    if len(lengths) > 1 or flat.null_count:
        return column.to_pylist()  # `add` says what is wrong with it
    return flat.to_numpy(zero_copy_only=False).reshape(len(column), lengths.pop())


def _ids(arrow: Any, table: Any, name: str | None) -> Any:
    if name is None:
        return None
    from pqstore.interop.corpus.arrow_ids import ArrowIds  # noqa: PLC0415 # few ask for it

    column = table.column(name).combine_chunks()
    if arrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return ArrowIds(arrow, "the table", name, column.type).ids_of(column, 0)


def _payloads(arrow: Any, table: Any, names: list[str]) -> Any:
    if not names:
        return None
    from pqstore.interop.corpus.arrow_payloads import check_columns, payloads_in  # noqa: PLC0415 # few ask for it

    check_columns(arrow, "the table", table.schema, names)
    batches = table.select(names).combine_chunks().to_batches()
    return [payload for batch in batches for payload in payloads_in(arrow, "the table", _decoded(arrow, batch), names)]


def _decoded(arrow: Any, batch: Any) -> Any:
    arrays = [
        column.dictionary_decode() if arrow.types.is_dictionary(column.type) else column for column in batch.columns
    ]
    return arrow.RecordBatch.from_arrays(arrays, [str(place) for place in range(len(arrays))])
