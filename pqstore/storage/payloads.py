"""Payloads: maps of what msgpack can carry, one record a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgpack
import numpy as np

from pqstore.errors import CorruptIndexError, InvalidPayloadError
from pqstore.storage import layout
from pqstore.storage.catalog import MAX_NAMES

__all__ = ["MAX_PAYLOAD_BYTES", "PayloadPacker", "unpack_payload"]

MAX_PAYLOAD_BYTES: Final = 64 << 20


def _plain(value: Any) -> Any:
    """What msgpack does not know, as something it knows."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a value of type {type(value).__name__} cannot be stored")


class PayloadPacker:
    """Packs payloads. Top-level keys become numbers, which are short; keys not seen before get the next ones."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = list(names)
        self._numbers: dict[str, int | str] = {name: number for number, name in enumerate(names)}
        self._pack = msgpack.Packer(use_bin_type=True, datetime=True, default=_plain).pack

    def pack(self, payload: Any, position: int) -> bytes:
        """msgpack bytes. `position` is the caller's number of the payload, for messages.

        Raises:
            InvalidPayloadError: not a map with str keys, a value that msgpack cannot carry, or more than 64 MiB.
        """
        if type(payload) is not dict and not isinstance(payload, Mapping):
            raise InvalidPayloadError(
                f"payload {position} must be a dict with str keys, or None, got {type(payload).__name__}"
            )
        numbers = self._numbers
        try:
            plain = {numbers[key]: value for key, value in payload.items()}
        except KeyError:
            plain = {self._number(key, position): value for key, value in payload.items()}
        try:
            content: bytes = self._pack(plain)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidPayloadError(
                f"payload {position} cannot be stored: {error}. Payloads hold maps, lists, str, numbers of 64 bits, "
                "bool, None, bytes and datetimes with a time zone"
            ) from error
        if len(content) > MAX_PAYLOAD_BYTES:
            raise InvalidPayloadError(f"payload {position} takes {len(content)} bytes, {MAX_PAYLOAD_BYTES} at most")
        return content

    def _number(self, key: Any, position: int) -> int | str:
        if not isinstance(key, str):
            raise InvalidPayloadError(
                f"payload {position} has the key {key!r} ({type(key).__name__}): top-level keys are str"
            )
        number = self._numbers.get(key)
        if number is None:
            try:
                key.encode()
            except UnicodeEncodeError as error:
                raise InvalidPayloadError(f"payload {position} has a key that is not valid Unicode: {error}") from error
            number = key
            if len(self.names) < MAX_NAMES:
                number = len(self.names)
                self.names.append(key)
            self._numbers[key] = number
        return number


def unpack_payload(value: memoryview, row: int, names: tuple[str, ...] | list[str]) -> dict[str, Any]:
    """The payload of a stored value, its checksum verified. Datetimes are in UTC.

    Raises:
        CorruptIndexError: names the row.
    """
    content = layout.open_payload(value, row)
    try:
        plain = msgpack.unpackb(content, raw=False, timestamp=3, strict_map_key=False)
        return {names[name] if type(name) is int else name: entry for name, entry in plain.items()}
    except (ValueError, TypeError, AttributeError, IndexError, msgpack.exceptions.UnpackException) as error:
        raise CorruptIndexError(f"payload of row {row}: cannot be read ({error})") from error
