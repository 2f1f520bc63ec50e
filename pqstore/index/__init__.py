"""The index: one method, one transaction. It sees rows, codes and ids, and no key of the store."""

from pqstore.index.arguments.ids import IdType
from pqstore.index.arguments.types import Filter, Include, Payload
from pqstore.index.facts.field_range import FieldRange
from pqstore.index.facts.field_values import FieldValues
from pqstore.index.facts.values import FieldValue
from pqstore.index.index import Index
from pqstore.index.lists.list_stats import ListStats
from pqstore.index.lists.partitioning import PartitionReport
from pqstore.index.recall.report import RecallReport
from pqstore.index.records import ScrollPage
from pqstore.index.search.calibration import Calibration
from pqstore.index.search.results import ListPlan, RangeResult, Record, SearchHits, SearchPlan, SearchResult
from pqstore.index.selection.id_set import IdSet
from pqstore.index.snapshot_view import SnapshotView
from pqstore.index.stats import IndexStats
from pqstore.index.transaction import Transaction

__all__ = [
    "Calibration",
    "FieldRange",
    "FieldValue",
    "FieldValues",
    "Filter",
    "IdSet",
    "IdType",
    "Include",
    "Index",
    "IndexStats",
    "ListPlan",
    "ListStats",
    "PartitionReport",
    "Payload",
    "RangeResult",
    "RecallReport",
    "Record",
    "ScrollPage",
    "SearchHits",
    "SearchPlan",
    "SearchResult",
    "SnapshotView",
    "Transaction",
]
