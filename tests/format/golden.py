"""Golden files: indexes as the first release of a format wrote them, and what is in them.

`python -m tests.format.golden` writes those that are not released yet anew. Do that only before they are.
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from pqstore.storage import Limits, Store
from tests.unit.storage.attached import FIELDS, attached, row_bytes, save_some
from tests.unit.storage.listed import make_lists
from tests.unit.storage.row_packing import RowPacking

DIRECTORY = Path(__file__).with_name("golden")
PACKING = RowPacking(4)
SETTINGS = {"M": 4, "Ks": 256, "metric": "l2"}
ARRAYS = {"codewords": np.arange(24, dtype=np.float32).reshape(4, 3, 2), "labels": np.arange(5, dtype=np.uint8)}


def code_of(number: int) -> bytes:
    return bytes([number % 251, number % 241, number // 256 % 256, 7])


def numbers() -> list[int]:
    """A permutation without randomness, then consecutive numbers."""
    return [*((at * 1009) % 2600 for at in range(2600)), *range(5000, 6500)]


def name(number: int, id_type: str) -> Any:
    return number if id_type == "int64" else f"naïve-{number}"


def contents(id_type: str) -> dict[Any, bytes]:
    """id -> code of every live row."""
    return {name(number, id_type): code_of(number) for number in numbers() if number % 9 != 4}


def write(path: Path, id_type: str) -> None:
    store = Store.create(
        path, SETTINGS, ARRAYS, PACKING, id_type, segment_rows=1024, row_bytes=row_bytes(4), fields=FIELDS
    )  # type: ignore[arg-type]
    order = numbers()
    for start in range(0, len(order), 900):
        part = order[start : start + 900]
        codes = np.frombuffer(b"".join(code_of(number) for number in part), dtype=np.uint8).reshape(-1, 4)
        with store.write() as txn:
            txn.append(codes, [name(number, id_type) for number in part], **attached(codes))
    with store.write() as txn:
        txn.kill(txn.rows_of([name(number, id_type) for number in order if number % 9 == 4]))
        save_some(txn)
    store.close()


def write_lists(path: Path) -> None:
    """The index with int64 ids, in lists: a run of its first segments, one of a later segment."""
    write(path, "int64")
    with Store.open(path, lambda _: PACKING, limits=Limits(list_slice=2048)) as store:
        make_lists(store)
        for start in range(20_000, 21_500, 750):
            codes = np.frombuffer(b"".join(code_of(start + at) for at in range(750)), dtype=np.uint8).reshape(-1, 4)
            with store.write() as txn:
                txn.append(codes, np.arange(start, start + 750), **attached(codes))
                save_some(txn)


def main() -> None:
    """Those of the first release stay as they are."""
    DIRECTORY.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "lists.pqs"
        write_lists(path)
        with tarfile.open(DIRECTORY / "format-1-lists.tar.xz", "w:xz") as archive:
            for entry in sorted(path.rglob("*")):
                if entry.name == "data.mdb" or entry.parent.name == "originals":
                    archive.add(entry, entry.relative_to(scratch))


if __name__ == "__main__":
    main()
