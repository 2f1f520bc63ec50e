"""Filters over payloads: parsed once, evaluated over columns of fields or over payloads. No files, no ids."""

from pqstore.index.filters.evaluation import FilteredRows, rows_that_fulfil
from pqstore.index.filters.parse import parse
from pqstore.index.filters.tree import Condition

__all__ = ["Condition", "FilteredRows", "parse", "rows_that_fulfil"]
