"""Damage of records by one who knows them: what they say is changed, and their checksums are computed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import lmdb
import msgpack
import numpy as np

from pqstore.errors import PQStoreError
from pqstore.storage.disk.numbered_state import put_state
from pqstore.storage.format import records
from pqstore.storage.format.state import State

from .odd_values import changed_bytes, changed_plain, odd_number

__all__ = ["change_records", "stored"]

Rng = np.random.Generator
Stored: TypeAlias = dict[tuple[str, bytes], bytes]
_OF_MSGPACK = (records.IDENTITY, records.STATE, records.STAGED, records.CATALOG, records.LIST_STATE)
_BOMBS = (
    b"\xdd\xff\xff\xff\xff" * 400,  # lists that claim to be long, one in another
    b"\xdd\x00\x10\x00\x00" * 500 + bytes(1 << 20),
    b"\x91" * 100_000 + b"\xc0",
    b"\x81\xa1a" * 100_000 + b"\xc0",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xc7\x0c\xff" + b"\xff" * 12,  # a time long after the last
    b"\x82\x90\x01\x90\x02",  # keys that are lists
    b"\xa2\xff\xfe",  # no UTF-8
    b"\xc1",
)
_DTYPES = (
    "<f4",
    "<f8",
    "|u1",
    "|O",
    "f4,(",
    "M8[s]",
    "<U1000000000",
    "|V0",
    "<i3",
    "(2147483647,)f4",
    "__import__",
    "",
)


def stored(generation: Path) -> Stored:
    """Every stored value by (database, key)."""
    found = {}
    with lmdb.open(str(generation), max_dbs=20, map_size=1 << 28, readonly=True, lock=False, lib_version=0) as env:
        for name in records.DATABASES:
            database = env.open_db(name.encode(), create=False)
            with env.begin(db=database) as txn:
                found.update({(name, bytes(key)): bytes(value) for key, value in txn.cursor()})
    return found


def change_records(rng: Rng, generation: Path) -> str:
    """Change a few records of a data file. Says of which kinds."""
    names = []
    content = stored(generation)
    with lmdb.open(str(generation), max_dbs=20, map_size=1 << 28, lib_version=0) as env:
        databases = {name: env.open_db(name.encode(), create=False) for name in records.DATABASES}
        with env.begin(write=True) as txn:
            for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
                database, key = _chosen(rng, content)
                value = content[database, key]
                change = _CHANGES[int(rng.integers(len(_CHANGES)))]
                names.append(f"{change.__name__} of {records.record_name(value[5])}")
                for where, new in change(rng, content, database, key).items():
                    if new is None:
                        txn.delete(where, db=databases[database])
                    elif 0 < len(where) < 500:
                        txn.put(where, new, db=databases[database])
            _number_state(txn, databases["meta"])
    return ", ".join(names)


def _number_state(txn: Any, meta: Any) -> None:
    """The state says which transaction wrote it, as the harm is not there."""
    try:
        put_state(txn, meta, State.unpack(memoryview(txn.get(records.STATE_KEY, db=meta) or b"")))
    except PQStoreError:  # it is the state that is damaged, or the identity
        return


def _chosen(rng: Rng, content: Stored) -> tuple[str, bytes]:
    """A record; each kind is as likely as any other, and those of msgpack likelier."""
    by_kind: dict[int, list[tuple[str, bytes]]] = {}
    for where, value in content.items():
        by_kind.setdefault(value[5], []).append(where)
    kinds = sorted(by_kind)
    weights = np.array([3.0 if kind in _OF_MSGPACK else 1.0 for kind in kinds])
    places = by_kind[int(rng.choice(kinds, p=weights / weights.sum()))]
    return places[int(rng.integers(len(places)))]


def _again(value: bytes, payload: bytes, **header: int) -> bytes:
    """The record with another payload, and some other fields of its header; all fit."""
    kind, encoding = value[5], int.from_bytes(value[6:8], "little")
    key_0, key_1, count = (int.from_bytes(value[at : at + 8], "little") for at in (8, 16, 24))
    fields = {"kind": kind, "key_0": key_0, "key_1": key_1, "count": count, "encoding": encoding, **header}
    return records.pack_record(
        fields["kind"], fields["key_0"], fields["key_1"], fields["count"], [payload], fields["encoding"]
    )


Change: TypeAlias = Callable[[Rng, Stored, str, bytes], dict[bytes, "bytes | None"]]


def header_field(rng: Rng, content: Stored, database: str, key: bytes) -> dict[bytes, bytes | None]:
    value = content[database, key]
    name, at, bits = [("count", 24, 64), ("encoding", 6, 16), ("key_0", 8, 64), ("key_1", 16, 64)][rng.integers(4)]
    old = int.from_bytes(value[at : at + bits // 8], "little")
    new = odd_number(rng, old) & (1 << bits) - 1
    return {key: _again(value, value[records.HEADER_BYTES :], **{name: new})}


def payload(rng: Rng, content: Stored, database: str, key: bytes) -> dict[bytes, bytes | None]:
    value = content[database, key]
    body = value[records.HEADER_BYTES :]
    if value[5] in _OF_MSGPACK:
        plain = msgpack.unpackb(body, strict_map_key=False)
        return {key: _packed(rng, value, plain, body)}
    return {key: _again(value, changed_bytes(rng, body))}


def _packed(rng: Rng, value: bytes, plain: Any, body: bytes) -> bytes:
    try:
        new = msgpack.packb(changed_plain(rng, plain))
    except (ValueError, OverflowError, TypeError, UnicodeEncodeError):  # what msgpack does not carry
        new = changed_bytes(rng, body)
    return _again(value, new)


def bomb(rng: Rng, content: Stored, database: str, key: bytes) -> dict[bytes, bytes | None]:
    value = content[database, key]
    return {key: _again(value, _BOMBS[int(rng.integers(len(_BOMBS)))])}


def count_and_payload(rng: Rng, content: Stored, database: str, key: bytes) -> dict[bytes, bytes | None]:
    value = content[database, key]
    old = int.from_bytes(value[24:32], "little")
    return {
        key: _again(value, changed_bytes(rng, value[records.HEADER_BYTES :]), count=odd_number(rng, old) & 2**64 - 1)
    }


def removed(rng: Rng, content: Stored, database: str, key: bytes) -> dict[bytes, bytes | None]:
    return {key: None}


def elsewhere(rng: Rng, content: Stored, database: str, key: bytes) -> dict[bytes, bytes | None]:
    """The record once more, or instead, under another number."""
    value = content[database, key]
    places = [8 * at for at in range(len(key) // 8)] if len(key) % 8 == 0 else []
    if not places:
        return {key: value, key + b"x": value}
    at = places[int(rng.integers(len(places)))]
    number = odd_number(rng, int.from_bytes(key[at : at + 8], "big")) & 2**64 - 1
    new = key[:at] + number.to_bytes(8, "big") + key[at + 8 :]
    moved = _again(value, value[records.HEADER_BYTES :], **{"key_1" if at else "key_0": number})
    return {key: value if rng.integers(2) else None, new: moved}


def another(rng: Rng, content: Stored, database: str, key: bytes) -> dict[bytes, bytes | None]:
    """What another record of the same database says, under the number of this one."""
    value = content[database, key]
    others = [there for there in content if there[0] == database]
    other = content[others[int(rng.integers(len(others)))]]
    numbers = {name: int.from_bytes(value[at : at + 8], "little") for name, at in (("key_0", 8), ("key_1", 16))}
    return {key: _again(other, other[records.HEADER_BYTES :], kind=value[5], **numbers)}


def odd_key(rng: Rng, content: Stored, database: str, key: bytes) -> dict[bytes, bytes | None]:
    value = content[database, key]
    return {changed_bytes(rng, key) or b"\0": value, key: value if rng.integers(2) else None}


def dtype(rng: Rng, content: Stored, database: str, key: bytes) -> dict[bytes, bytes | None]:
    """The type or the shape of an array; of what is none, its payload."""
    value = content[database, key]
    if value[5] != records.ARRAY:
        return payload(rng, content, database, key)
    body = value[records.HEADER_BYTES :]
    name_size, _, ndim = (int.from_bytes(body[at : at + 2], "little") for at in (0, 2, 4))
    shape = [int.from_bytes(body[16 + 8 * at : 24 + 8 * at], "little") for at in range(ndim)]
    if rng.integers(2):
        shape = [odd_number(rng, length) & 2**64 - 1 if rng.integers(2) else length for length in shape]
    kind = _DTYPES[int(rng.integers(len(_DTYPES)))].encode()
    head = b"".join(size.to_bytes(2, "little") for size in (name_size, len(kind), ndim)) + bytes(10)
    head += b"".join(length.to_bytes(8, "little") for length in shape)
    head += body[16 + 8 * ndim :][:name_size] + kind
    head += bytes(-len(head) % 16)
    return {key: _again(value, head + body[16 * (-(-(16 + 8 * ndim + name_size + 3) // 16)) :])}


_CHANGES: tuple[Change, ...] = (
    header_field, payload, payload, payload, payload, bomb, count_and_payload, removed, elsewhere, another, odd_key,
    dtype,
)  # fmt: skip
