"""Compressed files with flipped and missing bytes: our error, or other values, never that of a decompressor."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pqstore import CorpusFileError
from pqstore.interop.corpus import open_corpus

X = (np.arange(600) % 7).reshape(100, 6).astype(np.float32)


def npz(path: Path, method: int) -> None:
    stream = io.BytesIO()
    np.save(stream, X)
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x.npy", stream.getvalue())


def hdf5(path: Path, filter: str) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("train", data=X, chunks=(20, 6), compression=filter, fletcher32=True)


def table(path: Path, codec: str) -> None:
    pa = pytest.importorskip("pyarrow")
    if not pa.Codec.is_available(codec):
        pytest.skip(f"this pyarrow has no {codec}")
    made = pa.table({"v": X.tolist()})
    if path.suffix == ".parquet":
        __import__("pyarrow.parquet").parquet.write_table(made, path, compression=codec)
    else:
        options = pa.ipc.IpcWriteOptions(compression=codec)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, made.schema, options=options) as writer:
            writer.write_table(made)


WRITERS = {
    "deflated.npz": lambda path: npz(path, zipfile.ZIP_DEFLATED),
    "bzip2.npz": lambda path: npz(path, zipfile.ZIP_BZIP2),
    "lzma.npz": lambda path: npz(path, zipfile.ZIP_LZMA),
    "gzip.hdf5": lambda path: hdf5(path, "gzip"),
    "lzf.hdf5": lambda path: hdf5(path, "lzf"),
    "snappy.parquet": lambda path: table(path, "snappy"),
    "zstd.parquet": lambda path: table(path, "zstd"),
    "gzip.parquet": lambda path: table(path, "gzip"),
    "lz4.arrow": lambda path: table(path, "lz4"),
    "zstd.arrow": lambda path: table(path, "zstd"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_compressed_bytes_that_are_damaged(name: str, tmp_path: Path) -> None:
    # A flipped bit in a compressed .npz came out as zlib.error.
    path = tmp_path / name
    WRITERS[name](path)
    sound = path.read_bytes()
    refused = 0
    damaged = [
        *(
            sound[:at] + bytes([sound[at] ^ 0x81]) + sound[at + 1 :]
            for at in range(0, len(sound), max(1, len(sound) // 150))
        ),
        *(sound[:length] for length in range(0, len(sound), max(1, len(sound) // 20))),
    ]
    for content in damaged:
        path.write_bytes(content)
        try:
            rows = sum(len(block) for block in open_corpus(path).blocks(30))
        except CorpusFileError as error:
            assert "\n" not in str(error)  # noqa: PT017 # some damage raises, some does not
            refused += 1
        else:
            assert rows <= 1 << 20
    assert refused > 20
