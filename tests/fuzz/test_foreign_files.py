"""Files of other people: quantizers, Faiss indexes, nanopq pickles, vectors. A named error or what they say."""

from __future__ import annotations

import pickle
import sys
import types
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pqstore
from pqstore.interop.corpus import open_corpus
from pqstore.interop.faiss import open_index
from pqstore.interop.faiss.file import write_index
from pqstore.interop.nanopq import load_nanopq_pickle
from pqstore.quantizer.base import Quantizer

from .odd_values import changed_bytes
from .runner import Case, Steps, run_cases

Rng = np.random.Generator


def build_all(folder: Path) -> dict[str, Path]:
    """A sound file of each kind, by its name."""
    vectors = np.random.default_rng(3).normal(size=(300, 8)).astype(np.float32)
    pq = pqstore.PQ(M=2, Ks=16, verbose=False).fit(vectors, iter=1)
    opq = pqstore.OPQ(M=2, Ks=16, verbose=False).fit(vectors, pq_iter=1, rotation_iter=1)
    for name, quantizer in (("pq", pq), ("opq", opq)):
        quantizer.save(folder / f"{name}.quantizer")
        write_index(folder / f"{name}.faiss", quantizer, [(np.arange(300), quantizer.encode(vectors))])
        (folder / f"{name}.pickle").write_bytes(_pickled(quantizer))
    np.save(folder / "plain.npy", vectors)
    np.save(folder / "turned.npy", np.asfortranarray(vectors.astype(np.float64)))
    np.savez(folder / "plain.npz", vectors=vectors)
    np.savez_compressed(folder / "compressed.npz", vectors=vectors)
    for ending, dtype in (("fvecs", "<f4"), ("ivecs", "<i4"), ("bvecs", "u1")):
        rows = np.abs(vectors * 10).astype(dtype)
        lengths = np.full((300, 1), 8, dtype="<i4").view(np.uint8)
        (folder / f"x.{ending}").write_bytes(np.hstack((lengths, rows.view(np.uint8).reshape(300, -1))).tobytes())
    (folder / "x.fbin").write_bytes(np.array([300, 8], dtype="<u4").tobytes() + vectors.tobytes())
    _build_with_libraries(folder, vectors)
    return {path.name: path for path in sorted(folder.iterdir()) if path.is_file()}


def _build_with_libraries(folder: Path, vectors: Any) -> None:
    """Files that need libraries, where these are installed."""
    if find_spec("h5py"):
        import h5py

        with h5py.File(folder / "x.hdf5", "w") as file:
            file.create_dataset("train", data=vectors, chunks=(64, 8), compression="gzip")
    if find_spec("pyarrow"):
        import pyarrow as pa
        import pyarrow.parquet

        pyarrow.parquet.write_table(pa.table({"vector": vectors.tolist()}), folder / "x.parquet")


def _pickled(quantizer: Any) -> bytes:
    """As nanopq pickles it, which need not be installed: only names of classes are in a pickle."""
    with pytest.MonkeyPatch.context() as patch:
        made = {}
        for module, kind in (("nanopq.pq", "PQ"), ("nanopq.opq", "OPQ")):
            there = types.ModuleType(module)
            made[kind] = type(kind, (), {"__module__": module})
            setattr(there, kind, made[kind])
            patch.setitem(sys.modules, module, there)
        patch.setitem(sys.modules, "nanopq", types.ModuleType("nanopq"))
        pq: Any = made["PQ"]()
        vars(pq).update(
            M=2, Ks=16, metric="l2", verbose=False, code_dtype=np.uint8, codewords=quantizer.codewords, Ds=4
        )
        if quantizer.kind == "PQ":
            return pickle.dumps(pq)
        opq = made["OPQ"]()
        vars(opq).update(pq=pq, R=quantizer.R)
        return pickle.dumps(opq)


def make_case(built: dict[str, Path], place: Path) -> Case:
    """A copy in `place` of one of some sound files is changed, and then it is read."""

    def case(rng: Rng, steps: Steps) -> None:
        source = list(built.values())[int(rng.integers(len(built)))]
        path = place / source.name
        content = source.read_bytes()
        for _ in range(int(rng.choice([1, 1, 2, 5]))):
            content = _changed(rng, content, path)
        path.write_bytes(content)
        steps(f"read {path.name}", lambda: _read(path))

    return case


def _changed(rng: Rng, content: bytes, path: Path) -> bytes:
    """A change anywhere; of an archive often one of a member, whose checksum is computed again."""
    if path.suffix in (".npz", ".quantizer") and rng.integers(2):
        return _changed_member(rng, content, path)
    head = int(rng.choice([40, 200, len(content)]))
    return changed_bytes(rng, content[:head]) + content[head:]


def _changed_member(rng: Rng, content: bytes, path: Path) -> bytes:
    path.write_bytes(content)
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info: archive.read(info) for info in archive.infolist()}
    except Exception:  # an earlier change has damaged it: zipfile raises nearly anything
        return changed_bytes(rng, content)
    chosen = list(members)[int(rng.integers(len(members)))] if members else None
    with zipfile.ZipFile(path, "w") as archive:
        for info, member in members.items():
            name = "other.npy" if info is chosen and rng.integers(6) == 0 else info.filename
            if name in archive.namelist():  # renamed by an earlier change
                continue
            archive.writestr(name, changed_bytes(rng, member) if info is chosen else member, info.compress_type)
    return path.read_bytes()


def _read(path: Path) -> None:
    readers: dict[str, Callable[[Path], object]] = {
        ".quantizer": Quantizer.load,
        ".faiss": _read_faiss,
        ".pickle": load_nanopq_pickle,
    }
    readers.get(path.suffix, _read_corpus)(path)


def _read_faiss(path: Path) -> None:
    contents = open_index(path)
    assert contents.quantizer().is_trained
    assert sum(len(block) for block in contents.code_blocks()) == contents.rows
    assert sum(len(block) for block in contents.id_blocks()) == contents.rows


def _read_corpus(path: Path) -> None:
    corpus = open_corpus(path)
    total = sum(len(block) for block in corpus.blocks(100))
    assert total == corpus.n
    corpus.read(0, min(5, corpus.n))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return build_all(tmp_path_factory.mktemp("sound"))


def test_sound_files_are_read(sound: dict[str, Path]) -> None:
    for path in sound.values():
        _read(path)


def test_files_of_other_people(sound: dict[str, Path], memory_path: Path) -> None:
    run_cases(make_case(sound, memory_path), memory_path)
