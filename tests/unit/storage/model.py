"""A dict that an index must agree with."""

from __future__ import annotations

from typing import Any

import numpy as np

from pqstore.storage import Snapshot, Store


class Model:
    """id -> code, for an index of int64 or str ids."""

    def __init__(self, id_type: str, width: int, rng: np.random.Generator) -> None:
        self.rows: dict[Any, bytes] = {}
        self.id_type = id_type
        self.width = width
        self.rng = rng

    def new_ids(self, count: int) -> Any:
        fresh: dict[Any, None] = {}
        while len(fresh) < count:
            number = int(self.rng.integers(-(2**63), 2**63 - 1))
            identifier = number if self.id_type == "int64" else "é" * (number % 3) + str(number)
            if identifier not in self.rows:
                fresh[identifier] = None
        return self.array(list(fresh))

    def array(self, ids: list[Any]) -> Any:
        if self.id_type == "int64":
            return np.array(ids, dtype=np.int64)
        out = np.empty(len(ids), dtype=object)
        out[:] = ids
        return out

    def add(self, store: Store, count: int) -> None:
        ids = self.new_ids(count)
        codes = self.rng.integers(0, 256, (count, self.width), dtype=np.uint8)
        with store.write() as txn:
            assert np.all(txn.rows_of(ids) == -1)
            rows = txn.append(codes, ids)
            assert len(rows) == count
            probe = self.rng.integers(0, count, min(count, 20))
            assert np.array_equal(txn.rows_of(ids[probe]), rows[probe])
            assert np.array_equal(txn.rows_of(ids), rows)
            assert np.all(txn.rows_before(ids) == -1)
        self.rows.update({identifier: code.tobytes() for identifier, code in zip(ids.tolist(), codes, strict=True)})

    def remove(self, store: Store, count: int) -> list[Any]:
        known = list(self.rows)
        gone = [known[i] for i in self.rng.choice(len(known), min(count, len(known)), replace=False)]
        with store.write() as txn:
            rows = txn.rows_of(self.array(gone))
            assert np.all(rows >= 0)
            assert txn.kill(rows) == len(gone)
            assert np.all(txn.rows_of(self.array(gone)) == -1)
        for identifier in gone:
            del self.rows[identifier]
        return gone

    def replace(self, store: Store, count: int) -> None:
        known = list(self.rows)
        ids = [known[i] for i in self.rng.choice(len(known), min(count, len(known)), replace=False)]
        codes = self.rng.integers(0, 256, (len(ids), self.width), dtype=np.uint8)
        with store.write() as txn:
            rows = txn.rows_of(self.array(ids))
            half = len(ids) // 2
            txn.kill(rows[:half])
            txn.append(codes[:half], self.array(ids[:half]))
            assert np.array_equal(txn.rows_before(self.array(ids)), np.where(np.arange(len(ids)) < half, -1, rows))
            assert txn.rows_before(self.array(ids[:1])) == -1 or half == 0
            txn.kill(rows[half:])
            assert np.all(txn.rows_before(self.array(ids)) == -1)
            txn.append(codes[half:], self.array(ids[half:]))
        self.rows.update({identifier: code.tobytes() for identifier, code in zip(ids, codes, strict=True)})

    def check(self, store: Store) -> None:
        with store.read() as snapshot:
            self.check_snapshot(snapshot)

    def check_snapshot(self, snapshot: Snapshot) -> None:
        ids = list(self.rows)
        assert snapshot.live_rows == len(ids)
        rows = snapshot.rows_of(self.array(ids))
        assert np.all(rows >= 0)
        assert len(np.unique(rows)) == len(ids)
        assert snapshot.ids_of(rows).tolist() == ids
        codes = snapshot.codes_of(rows)
        assert [code.tobytes() for code in codes] == list(self.rows.values())
        for at in range(0, len(ids), max(1, len(ids) // 7)):
            assert snapshot.rows_of(self.array([ids[at]])).tolist() == [rows[at]]
        assert np.all(snapshot.rows_of(self.new_ids(30)) == -1)
        listed = [identifier for block in snapshot.iter_ids(700) for identifier in block.tolist()]
        assert len(listed) == len(ids)
        assert set(listed) == set(ids)
        self._check_chunks(snapshot)

    def _check_chunks(self, snapshot: Snapshot) -> None:
        stored = 0
        live: list[bytes] = []
        for chunk in snapshot.chunks():
            assert not chunk.packed.flags.writeable
            stored += chunk.rows
            codes = chunk.packed[: chunk.rows * self.width].reshape(chunk.rows, self.width)
            if chunk.dead is not None:
                codes = codes[np.unpackbits(chunk.dead, count=chunk.rows, bitorder="little") == 0]
            live += [code.tobytes() for code in codes]
        assert stored == snapshot.total_rows
        assert sorted(live) == sorted(self.rows.values())
