"""The index: one method, one transaction; no bytes and no arithmetic of its own."""

from pqstore.index.ids import IdType
from pqstore.index.index import Index
from pqstore.index.results import SearchResult
from pqstore.index.stats import IndexStats
from pqstore.index.view import SnapshotView

__all__ = ["IdType", "Index", "IndexStats", "SearchResult", "SnapshotView"]
