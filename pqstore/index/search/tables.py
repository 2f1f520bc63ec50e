"""Hits as tables of other libraries, which are imported when they are asked for, and of notebooks."""

from __future__ import annotations

import html
import importlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from pqstore.errors import MissingDependencyError

__all__ = ["as_arrow", "as_html", "as_pandas", "as_polars"]

_SHOWN_ROWS, _SHOWN_LETTERS = 40, 120


def as_arrow(result: Any) -> Any:
    """A `pyarrow.Table`."""
    arrow = _library("pyarrow", "pqstore[parquet]")
    return arrow.table({name: _arrow_column(arrow, values) for name, values in _columns(result).items()})


def as_pandas(result: Any) -> Any:
    """A `pandas.DataFrame`."""
    pandas = _library("pandas", "pandas")
    return pandas.DataFrame({name: _listed(values) for name, values in _columns(result).items()})


def as_polars(result: Any) -> Any:
    """A `polars.DataFrame`."""
    polars = _library("polars", "polars")
    columns = {name: _polars_column(polars, name, values) for name, values in _columns(result).items()}
    return polars.DataFrame(columns)


def _library(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingDependencyError(f"this table needs {name}: pip install '{package}'") from error


def _columns(result: Any) -> dict[str, Any]:
    """Columns by name: arrays, or lists with None: of hits alone, without padding. Values of a payload key that are not
    of one kind are JSON."""
    single = result.ids.ndim == 1
    hits = [hit for query in ([result.to_dicts()] if single else result.to_dicts()) for hit in query]
    columns: dict[str, Any] = {}
    if not single:
        columns["query"] = np.repeat(np.arange(len(result.ids)), [len(query) for query in result.to_dicts()])
    kind = object if result.ids.dtype == object else np.int64
    columns["id"] = np.array([hit["id"] for hit in hits], dtype=kind)
    columns["distance"] = np.array([hit["distance"] for hit in hits], dtype=np.float32)
    if getattr(result, "vectors", None) is not None:
        columns["vector"] = result.vectors.reshape(-1, result.vectors.shape[-1])[_is_hit(result).reshape(-1)]
    if getattr(result, "payloads", None) is not None:
        payloads = [hit["payload"] or {} for hit in hits]
        for key in dict.fromkeys(key for payload in payloads for key in payload):
            columns[key if key not in columns else f"payload.{key}"] = _of_one_kind(
                [payload.get(key) for payload in payloads]
            )
    return columns


def _is_hit(result: Any) -> Any:
    if result.ids.dtype == object:
        return np.array([id is not None for id in result.ids.reshape(-1).tolist()], dtype=np.bool_)
    return (result.ids != -1) | np.isfinite(result.distances)


def _of_one_kind(values: list[Any]) -> list[Any]:
    """Values that a column can hold: as they are, numbers as floats where one is, all else as JSON."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int, float}:
        return [None if value is None else float(value) for value in values]
    if len(kinds) > 1 or dict in kinds or (list in kinds and not _are_simple(values)):
        return [None if value is None else json.dumps(value, default=str, ensure_ascii=False) for value in values]
    if kinds == {int} and any(value is not None and value >= 2**63 for value in values):
        return [None if value is None else str(value) for value in values]
    return values


def _are_simple(lists: Sequence[Any]) -> bool:
    """Whether all members of lists are of one type, and none is a list or a map."""
    kinds = {type(member) for members in lists if members is not None for member in members}
    return len(kinds) <= 1 and not kinds & {list, dict}


def _arrow_column(arrow: Any, values: Any) -> Any:
    if not isinstance(values, np.ndarray):
        return arrow.array(values)
    if values.ndim == 2:
        return arrow.FixedSizeListArray.from_arrays(arrow.array(values.reshape(-1)), values.shape[1])
    return arrow.array(values.tolist(), arrow.string()) if values.dtype == object else arrow.array(values)


def _polars_column(polars: Any, name: str, values: Any) -> Any:
    if isinstance(values, np.ndarray) and values.dtype == object:
        return polars.Series(name, values.tolist(), dtype=polars.String)
    return polars.Series(name, values)


def _listed(values: Any) -> Any:
    return list(values) if isinstance(values, np.ndarray) and values.ndim == 2 else values


def as_html(result: Any) -> str:
    """A table of the first hits, for notebooks."""
    columns = _columns(result)
    rows = len(columns["id"])
    names = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    lines = [
        "<tr>" + "".join(f"<td>{_shown(values[row])}</td>" for values in columns.values()) + "</tr>"
        for row in range(min(rows, _SHOWN_ROWS))
    ]
    more = f"<p>and {rows - _SHOWN_ROWS:,} more</p>" if rows > _SHOWN_ROWS else ""
    return f"<table><thead><tr>{names}</tr></thead><tbody>{''.join(lines)}</tbody></table>{more}"


def _shown(value: Any) -> str:
    if isinstance(value, np.ndarray):
        value = np.array2string(value, precision=3, threshold=6, edgeitems=2)
    text = "" if value is None else f"{value:.6g}" if isinstance(value, (float, np.floating)) else str(value)
    return html.escape(text if len(text) <= _SHOWN_LETTERS else text[: _SHOWN_LETTERS - 1] + "…")
