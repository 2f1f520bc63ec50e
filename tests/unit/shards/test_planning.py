"""Plans: every row in one shard, whatever the files; the same files give the same plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore import shards
from pqstore.shards.source import blocks_of

N, D = 137, 6
VECTORS = np.random.default_rng(8).standard_normal((N, D)).astype(np.float32)


def write_fbin(path: Path) -> None:
    path.write_bytes(np.array([N, D], dtype="<u4").tobytes() + VECTORS.tobytes())


def write_fvecs(path: Path) -> None:
    rows = np.empty((N, D + 1), dtype="<f4")
    rows[:, :1], rows[:, 1:] = np.full((N, 1), D, dtype="<i4").view("<f4"), VECTORS
    rows.tofile(path)


def write_hdf5(path: Path) -> None:
    with pytest.importorskip("h5py").File(path, "w") as file:
        file.create_dataset("train", data=VECTORS, chunks=(10, D), compression="gzip")


def write_parquet(path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table({"vector": list(VECTORS)}), path, row_group_size=11)


def write_arrow(path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"vector": list(VECTORS)})
    with arrow.OSFile(str(path), "wb") as sink, arrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=9)


def write_stream(path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"vector": list(VECTORS)})
    with arrow.OSFile(str(path), "wb") as sink, arrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=9)


WRITERS = {
    "x.npy": lambda path: np.save(path, VECTORS),
    "x.npz": lambda path: np.savez_compressed(path, VECTORS),
    "x.fbin": write_fbin,
    "x.fvecs": write_fvecs,
    "x.h5": write_hdf5,
    "x.parquet": write_parquet,
    "x.arrow": write_arrow,
    "x.ipc": write_stream,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_row_is_in_one_shard(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    plan = shards.plan(tmp_path / name, 20)
    assert plan == shards.plan(tmp_path / name, 20)
    assert plan.hash == shards.plan(tmp_path / name, 20).hash
    assert plan.rows == N
    first = 0
    for shard in plan.shards:
        blocks = list(blocks_of(plan, shard))
        rows = np.concatenate([block.vectors for block in blocks])
        assert np.array_equal(rows, VECTORS[first : first + shard.rows])
        ids = np.concatenate([block.ids for block in blocks])
        assert ids.tolist() == list(range(first, first + shard.rows))
        first += shard.rows
    sizes = [shard.rows for shard in plan.shards]
    if name in ("x.npy", "x.fbin", "x.fvecs", "x.h5"):
        assert max(sizes) - min(sizes) <= 1
    elif name != "x.npz":
        assert max(sizes) <= 20 + 11, "cut at the row group next to the ideal place"


def test_several_files_are_one_after_another(tmp_path: Path) -> None:
    for part in range(5):
        np.save(tmp_path / f"{part}.npy", VECTORS[part * 27 : part * 27 + 27])
    plan = shards.plan(str(tmp_path / "*.npy"), 50)
    rows = [block.vectors for shard in plan.shards for block in blocks_of(plan, shard)]
    assert np.array_equal(np.concatenate(rows), VECTORS[:135])
    assert shards.plan([tmp_path / f"{part}.npy" for part in range(5)], 50).hash == plan.hash


def test_the_place_of_the_files_is_no_part_of_the_plan(tmp_path: Path) -> None:
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        np.save(tmp_path / place / "x.npy", VECTORS)
    here, there = (shards.plan(tmp_path / place / "x.npy", 50) for place in ("here", "there"))
    assert here.hash == there.hash
    here.save(tmp_path / "plan.json")
    moved = shards.Plan.load(tmp_path / "plan.json", tmp_path / "there")
    assert moved == there


def test_a_part_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.importorskip("h5py").File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("some/inner", data=VECTORS[:50])
        file.create_dataset("other", data=VECTORS)
    plan = shards.plan(f"{tmp_path}/x.h5:some/inner", 20)
    assert (plan.rows, plan.member) == (50, "some/inner")
    assert np.array_equal(np.concatenate([b.vectors for b in blocks_of(plan, plan.shards[0])]), VECTORS[:16])


def test_rows_without_vectors_are_left_out(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    given = [None if n % 3 == 0 or 20 <= n < 45 else vector for n, vector in enumerate(VECTORS.tolist())]
    table = arrow.table({"id": [f"n{n}" for n in range(N)], "vector": given})
    parquet.write_table(table, tmp_path / "x.parquet", row_group_size=10)
    plan = shards.plan(tmp_path / "x.parquet", 20, skip_nulls=True)
    kept = [n for n, vector in enumerate(given) if vector is not None]
    assert plan.rows == len(kept)
    assert plan.id_type == "str"
    blocks = [block for shard in plan.shards for block in blocks_of(plan, shard)]
    assert [id for block in blocks for id in block.ids] == [f"n{n}" for n in kept]
    assert np.array_equal(np.concatenate([block.vectors for block in blocks]), VECTORS[kept])


def test_ids_that_are_given_twice_are_found_now(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    ids = list(range(N))
    ids[130] = 7
    parquet.write_table(arrow.table({"id": ids, "vector": list(VECTORS)}), tmp_path / "x.parquet", row_group_size=10)
    with pytest.raises(pqstore.DuplicateIdError, match="id 7 is given twice"):
        shards.plan(tmp_path / "x.parquet", 20)
    assert shards.plan(tmp_path / "x.parquet", 20, check_ids=False).rows == N
    assert shards.plan(tmp_path / "x.parquet", 20, id_column="none").id_column is None


def test_what_cannot_be_meant_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VECTORS)
    np.save(tmp_path / "none.npy", VECTORS[:0])
    with pytest.raises(ValueError, match="rows_per_shard must be at least 1"):
        shards.plan(tmp_path / "x.npy", 0)
    with pytest.raises(ValueError, match="first_id"):
        shards.plan(tmp_path / "x.npy", 10, first_id=-1)
    with pytest.raises(pqstore.CorpusFileError, match="at least one row"):
        shards.plan(tmp_path / "none.npy")
    with pytest.raises(pqstore.CorpusFileError, match="standard input"):
        shards.plan("-")
    with pytest.raises(pqstore.DuplicateIdError, match="named twice"):
        shards.plan([tmp_path / "x.npy", tmp_path / "x.npy"])
    with pytest.raises(FileNotFoundError):
        shards.plan(tmp_path / "missing.npy")


def test_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VECTORS)
    plan = shards.plan(tmp_path / "x.npy", 50)
    np.save(tmp_path / "x.npy", VECTORS + 1)
    with pytest.raises(pqstore.CorpusFileError, match="has changed since the plan was made"):
        list(blocks_of(plan, plan.shards[1]))
