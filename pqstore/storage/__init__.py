"""Bytes on disk: LMDB environment, transactions, record layout, id map, checksums. Knows no quantizer.

`Store` is the way in; `docs/format.md` describes the bytes, `docs/durability.md` what is promised.
"""

from pqstore.storage.attachments.column_groups import FieldKind, kind_of
from pqstore.storage.attachments.column_values import ColumnValues, groups_of, values_of
from pqstore.storage.attachments.field_column import Bound, FieldColumn, Wanted
from pqstore.storage.attachments.field_paths import (
    ABSENT,
    field_name,
    field_numbers,
    stored_field,
    value_at,
)
from pqstore.storage.attachments.plain_values import UnfitValueError, plain_payload, plain_value
from pqstore.storage.attachments.row_values import distinct_values, positions_of, values_at
from pqstore.storage.disk.spool import Spool
from pqstore.storage.format.catalog import Catalog
from pqstore.storage.format.records import EXACT_ROWS, TRAINED_HERE, VECTORLESS_KEY
from pqstore.storage.format.state import Identity
from pqstore.storage.limits import Limits
from pqstore.storage.lists.stored_table import StoredTable
from pqstore.storage.repair.report import RepairReport
from pqstore.storage.rows.column_records import RowUnit, StoredChunk
from pqstore.storage.rows.packing import RowPacking
from pqstore.storage.rows.tombstones import count_set
from pqstore.storage.stats import StoreStats
from pqstore.storage.store import Durability, Store
from pqstore.storage.transactions.expiry import row_without_end, set_expiry
from pqstore.storage.transactions.known_state import KnownState
from pqstore.storage.transactions.list_reads import ListReads
from pqstore.storage.transactions.living import Moment, microseconds_now
from pqstore.storage.transactions.snapshot import Snapshot
from pqstore.storage.transactions.snapshot_lists import SnapshotLists
from pqstore.storage.transactions.write import WriteTransaction
from pqstore.storage.upkeep.partitioning import begin_lists, drop_lists, fill_lists
from pqstore.storage.upkeep.problem import Problem
from pqstore.storage.upkeep.rebuild_plan import Rebuild, Resumption

__all__ = [
    "ABSENT",
    "EXACT_ROWS",
    "TRAINED_HERE",
    "VECTORLESS_KEY",
    "Bound",
    "Catalog",
    "ColumnValues",
    "Durability",
    "FieldColumn",
    "FieldKind",
    "Identity",
    "KnownState",
    "Limits",
    "ListReads",
    "Moment",
    "Problem",
    "Rebuild",
    "RepairReport",
    "Resumption",
    "RowPacking",
    "RowUnit",
    "Snapshot",
    "SnapshotLists",
    "Spool",
    "Store",
    "StoreStats",
    "StoredChunk",
    "StoredTable",
    "UnfitValueError",
    "Wanted",
    "WriteTransaction",
    "begin_lists",
    "count_set",
    "distinct_values",
    "drop_lists",
    "field_name",
    "field_numbers",
    "fill_lists",
    "groups_of",
    "kind_of",
    "microseconds_now",
    "plain_payload",
    "plain_value",
    "positions_of",
    "row_without_end",
    "set_expiry",
    "stored_field",
    "value_at",
    "values_at",
    "values_of",
]
