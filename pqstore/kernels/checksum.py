"""The checksum that every record on disk carries: CRC-32 as in zlib."""

from __future__ import annotations

import zlib
from typing import Any

from pqstore.native import native_module

__all__ = ["crc32"]

_crc32 = getattr(native_module(), "crc32", zlib.crc32)


def crc32(buffer: Any, value: int = 0) -> int:
    """CRC-32 (IEEE 802.3, as `zlib.crc32`) of a contiguous buffer, continued from `value`."""
    return _crc32(buffer, value)
