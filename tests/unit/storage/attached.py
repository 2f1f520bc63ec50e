"""Originals and payloads that follow from a code, so that a test can tell what a row must bring with it."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from pqstore.storage import Bound, Snapshot, Wanted, WriteTransaction
from pqstore.storage.transactions.row_reads import are_live

FIELDS = ("n", "parity")


def row_bytes(M: int) -> int:
    return M + 4


def originals_for(codes: np.ndarray) -> np.ndarray:
    """uint8 (n, M + 4)."""
    return np.ascontiguousarray(np.concatenate((codes[:, ::-1], codes[:, :4] ^ 255), axis=1))


def payload_for(code: bytes) -> dict[str, Any] | None:
    if code[1] % 5 == 0:
        return None
    return {"n": code[0] - 128, "parity": "odd" if code[0] % 2 else "even", "more": [code[2], None]}


def save_some(txn: WriteTransaction) -> None:
    """Keep the ids of some live rows, as this transaction leaves them, as a set."""
    ids = [
        identifier
        for block in txn.rows.iter_ids(65_536)
        for identifier in block.tolist()
        if hash_of(identifier) % 8 == 0
    ]
    kept = np.empty(len(ids), dtype=np.int64 if txn.schema.identity.id_type == "int64" else object)
    kept[:] = sorted(ids)
    txn.save_set("some", kept)


def hash_of(identifier: int | str) -> int:
    return zlib.crc32(str(identifier).encode())


def check_set(snapshot: Snapshot) -> None:
    """The set is what was live when it was saved, with the last change."""
    ids = [identifier for block in snapshot.iter_ids() for identifier in block.tolist()]
    saved = snapshot.saved_set("some")
    assert (saved is None and snapshot.live_rows == 0) or saved.tolist() == sorted(
        identifier for identifier in ids if hash_of(identifier) % 8 == 0
    )


def attached(codes: np.ndarray) -> dict[str, Any]:
    """Arguments of `append`."""
    return {"originals": originals_for(codes), "payloads": [payload_for(code.tobytes()) for code in codes]}


def check_attached(snapshot: Snapshot, rows: np.ndarray) -> None:
    """Every row brings what its code says, and the columns of fields find exactly the rows that have a value."""
    codes = snapshot.codes_of(rows)
    np.testing.assert_array_equal(snapshot.originals_of(rows), originals_for(codes))
    expected = [payload_for(code.tobytes()) for code in codes]
    assert snapshot.payloads_of(rows) == expected
    for name, question, answer in (
        ("parity", lambda column: column.equal(Wanted(["odd"])), lambda payload: payload["parity"] == "odd"),
        ("n", lambda column: column.between(Bound(0, True), None), lambda payload: payload["n"] >= 0),
    ):
        number = snapshot.catalog.fields.index(name)
        told = [np.empty(0, dtype=np.int64)]
        for unit in snapshot.units():
            mask = np.unpackbits(question(snapshot.column(unit, number)), count=unit.rows, bitorder="little")
            told.append(np.flatnonzero(mask) + unit.first_row)
        live = np.concatenate(told)
        live = live[are_live(snapshot.records, live)]
        right = {row for row, payload in zip(rows.tolist(), expected, strict=True) if payload and answer(payload)}
        assert set(live.tolist()) & set(rows.tolist()) == right
