"""Record batches of a stream, each added before the next is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pqstore.errors import PartialChangeError
from pqstore.index.arguments.ids import IdArray
from pqstore.index.table_rows import Columns, TableRows, rows_of_table

__all__ = ["add_stream"]


def add_stream(reader: Any, columns: Columns, add: Callable[[TableRows], IdArray]) -> IdArray:
    """Add the batches of a `pyarrow.RecordBatchReader` one by one, and return the ids of all of them.

    Raises:
        PartialChangeError: when a batch fails after others were added. What fails before is raised as it is.
    """
    # No batch: its columns are looked at all the same, before the first of them is waited for.
    added = [add(rows_of_table(reader.schema.empty_table(), columns))]
    try:
        while (ids := _add_next(reader, columns, add)) is not None:
            added.append(ids)
    except Exception as error:
        stored = np.concatenate(added)
        if len(stored) == 0:
            raise
        why = str(error).partition("\n")[0]  # of readers in Python it goes on with their traceback
        partial = PartialChangeError(
            f"batch {len(added) - 1} of the stream, counted from 0, was not added ({type(error).__name__}: {why}); the "
            f"{len(stored)} rows before it are stored, `added` of this error has their ids: go on from that batch"
        )
        partial.added = stored
        raise partial from error
    return np.concatenate(added)


def _add_next(reader: Any, columns: Columns, add: Callable[[TableRows], IdArray]) -> IdArray | None:
    """Nothing of a batch is left when this returns its ids; None: there is none."""
    try:
        batch = reader.read_next_batch()
    except StopIteration:
        return None
    return add(rows_of_table(batch, columns))
