"""verify and repair: damage is found and repaired."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import pqstore
from pqstore.cli import main


def test_damage_is_found_and_repaired(files: Path, capsys) -> None:
    assert main("build vectors.npy index --M 16 --Ks 256 --iter 1".split()) == 0
    with pqstore.Index.open("index") as index:
        codes = index.codes(list(index))
    (data,) = Path("index").glob("generation-*/data.mdb")
    content = bytearray(data.read_bytes())
    # The last page of the file that is not empty belongs to a record or to a tree; damage a few until verify sees it.
    page = 4096
    for start in range(len(content) - page, 3 * page, -page):
        if any(content[start : start + page]):
            damaged = bytearray(content)
            damaged[start + page // 2 : start + page // 2 + 64] = b"\xa5" * 64
            data.write_bytes(damaged)
            capsys.readouterr()
            if main("verify index --deep --format json".split()) == 1:
                break
    else:
        pytest.fail("no damage was found")
    problems = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert problems
    assert all(problem.keys() == {"invariant", "record", "message"} for problem in problems)
    status = main("repair index mended".split())
    captured = capsys.readouterr()
    assert status == (1 if "damaged" in captured.out or "lost" in captured.out.replace("to be lost", "") else 0)
    assert "rows saved" in captured.out
    assert main("verify mended".split()) == 0
    with pqstore.Index.open("mended") as mended:
        kept = np.array(list(mended))
        np.testing.assert_array_equal(mended.codes(kept), codes[kept])
