"""Rates of import and export, and of every corpus reader against a plain read of the same file.

    python -m benchmarks.peers.interop_rates [--rows 1000000]

Writes about 700 MB of temporary files. faiss, h5py and pyarrow are skipped where not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pqstore import PQ, Index
from pqstore.index.faiss_transfer import export_index, import_index
from pqstore.interop.corpus import open_corpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        transfers(Path(directory), arguments.rows)
        readers(Path(directory), arguments.rows)


def transfers(directory: Path, rows: int) -> None:
    random = np.random.default_rng(0)
    pq = PQ(16, 256, verbose=False)
    pq.codewords = random.standard_normal((16, 256, 8))
    ids = random.permutation(rows) * 3
    with Index.create(directory / "index", pq, bulk=True) as index:
        index.add_codes(random.integers(0, 256, (rows, 16), dtype=np.uint8), ids=ids)
    print(f"| {rows:,} x 16 codes with ids | million rows/s |\n|---|---|")
    with Index.open(directory / "index") as index:
        show("export to a file", rows, lambda: export_index(index, directory / "faiss"))
        with_faiss = importlib.util.find_spec("faiss") is not None
        live = []
        if with_faiss:
            show("export to Faiss in memory", rows, lambda: live.append(export_index(index)))
        numbers = iter(range(100))
        show(
            "import of a file", rows, lambda: import_index(directory / f"a{next(numbers)}", directory / "faiss").close()
        )
        if with_faiss:
            show(
                "import of Faiss in memory",
                rows,
                lambda: import_index(directory / f"b{next(numbers)}", live[0]).close(),
            )


def show(what: str, rows: int, run: Callable[[], object]) -> None:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    print(f"| {what} | {rows / statistics.median(times) / 1e6:.2f} |", flush=True)


def readers(directory: Path, rows: int) -> None:
    x = np.random.default_rng(1).random((rows // 8, 128), dtype=np.float32)
    small = (x * 255).astype(np.uint8)
    np.save(directory / "x.npy", x)
    np.save(directory / "fortran.npy", np.asfortranarray(x))
    np.savez(directory / "x.npz", x=x)
    for name, values in (("x.fvecs", x), ("x.ivecs", x.astype("<i4")), ("x.bvecs", small)):
        record = np.empty(len(x), dtype=[("D", "<i4"), ("v", values.dtype, (128,))])
        record["D"], record["v"] = 128, values
        record.tofile(directory / name)
    for name, values in (("x.fbin", x), ("x.u8bin", small), ("x.i8bin", small.view(np.int8))):
        (directory / name).write_bytes(struct.pack("<II", *x.shape) + values.tobytes())
    if importlib.util.find_spec("h5py"):
        import h5py  # optional

        with h5py.File(directory / "x.hdf5", "w") as file:
            file["train"] = x
    if importlib.util.find_spec("pyarrow"):
        import pyarrow as pa  # optional
        import pyarrow.parquet

        column = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), 128)
        table = pa.table({"vector": column})
        pa.parquet.write_table(table, directory / "x.parquet", compression="none", use_dictionary=False)
        with pa.OSFile(str(directory / "x.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=10_000)
    print("\n| reader | MB/s | plain read MB/s | share |\n|---|---|---|---|")
    for path in sorted(p for p in directory.iterdir() if p.stem in ("x", "fortran") and p.is_file()):
        size = path.stat().st_size
        ours, plain = [], []
        for _ in range(5):
            ours.append(seconds(lambda path=path: [len(block) for block in open_corpus(path).blocks()]))
            plain.append(seconds(lambda path=path: read_plainly(path)))
        a, b = size / statistics.median(ours) / 1e6, size / statistics.median(plain) / 1e6
        print(f"| {path.name} | {a:.0f} | {b:.0f} | {a / b:.2f} |", flush=True)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def read_plainly(path: Path) -> None:
    with path.open("rb", buffering=0) as stream:
        while stream.read(1 << 22):
            pass


if __name__ == "__main__":
    main()
