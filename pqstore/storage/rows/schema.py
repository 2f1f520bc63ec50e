"""What stays the same in the life of a generation, ready for use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from pqstore.storage.format.state import Identity
from pqstore.storage.rows.geometry import Geometry
from pqstore.storage.rows.id_columns import IdCodec
from pqstore.storage.rows.packing import RowPacking

__all__ = ["PackingOf", "Schema"]

PackingOf: TypeAlias = Callable[[Mapping[str, Any]], RowPacking]
"""How codes are packed in an index with these settings."""


class Schema:
    """How rows are divided, and how their codes and ids are laid out."""

    __slots__ = ("assigner", "codec", "geometry", "identity", "packing", "segment_bytes")

    def __init__(self, identity: Identity, packing: RowPacking) -> None:
        self.identity = identity
        self.packing = packing
        self.geometry = Geometry.of(identity)
        self.codec = IdCodec(identity.id_type, identity.hash_key)
        self.segment_bytes = packing.packed_size(identity.segment_rows)
        """Bytes of the packed codes of a sealed segment."""
        self.assigner: Any = None
        """Says to which partitions rows belong (`storage/lists/assigning.py`); without it rows get into no lists."""
