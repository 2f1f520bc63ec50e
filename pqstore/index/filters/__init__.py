"""Filters over payloads: parsed once, evaluated over columns of fields or over payloads. No files, no ids."""

from pqstore.index.filters.compare import matches
from pqstore.index.filters.parse import parse
from pqstore.index.filters.plan import Plan, plan
from pqstore.index.filters.tree import Condition, fields_of

__all__ = ["Condition", "Plan", "fields_of", "matches", "parse", "plan"]
