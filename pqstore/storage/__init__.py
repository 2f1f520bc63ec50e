"""Bytes on disk: LMDB environment, transactions, record layout, id map, checksums. Knows no quantizer.

`Store` is the way in; `docs/format.md` describes the bytes, `docs/durability.md` what is promised.
"""

from pqstore.storage.attached import RowUnit
from pqstore.storage.bitmap import count_set
from pqstore.storage.cache import StoredChunk
from pqstore.storage.catalog import Catalog
from pqstore.storage.field_column import Bound, FieldColumn, Wanted, kind_of
from pqstore.storage.packing import RowPacking
from pqstore.storage.problem import Problem
from pqstore.storage.repair import RepairReport, repair
from pqstore.storage.snapshot import Snapshot
from pqstore.storage.stats import StoreStats
from pqstore.storage.store import Durability, Store
from pqstore.storage.transaction import WriteTransaction

__all__ = [
    "Bound",
    "Catalog",
    "Durability",
    "FieldColumn",
    "Problem",
    "RepairReport",
    "RowPacking",
    "RowUnit",
    "Snapshot",
    "Store",
    "StoreStats",
    "StoredChunk",
    "Wanted",
    "WriteTransaction",
    "count_set",
    "kind_of",
    "repair",
]
