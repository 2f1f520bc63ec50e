"""The index: one method, one transaction; no bytes and no arithmetic of its own."""

from pqstore.index.calibration import Calibration
from pqstore.index.ids import IdType
from pqstore.index.index import Index
from pqstore.index.recall import RecallReport
from pqstore.index.records import ScrollPage
from pqstore.index.results import RangeResult, Record, SearchHits, SearchPlan, SearchResult
from pqstore.index.selection import IdSet
from pqstore.index.stats import IndexStats
from pqstore.index.view import SnapshotView

__all__ = [
    "Calibration",
    "IdSet",
    "IdType",
    "Index",
    "IndexStats",
    "RangeResult",
    "RecallReport",
    "Record",
    "ScrollPage",
    "SearchHits",
    "SearchPlan",
    "SearchResult",
    "SnapshotView",
]
