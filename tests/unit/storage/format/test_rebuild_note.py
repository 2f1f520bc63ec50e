"""What an unfinished generation says of how far it is: every field that cannot be is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage.format.rebuild_note import REBUILD_NOTE, RebuildNote

NOTE = RebuildNote(1.5e9, 5000, 4990, 3000, {"sample": 20_000, "originals": None})


def test_it_comes_back() -> None:
    assert RebuildNote.of({"other": 1, REBUILD_NOTE: NOTE.packed()}) == NOTE


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        {},
        [],
        NOTE.packed()[:4],
        [*NOTE.packed(), 1],
        [-1.0, *NOTE.packed()[1:]],
        ["1.5", *NOTE.packed()[1:]],
        [1.5, -1, 0, 0, {}],
        [1.5, 0, 2**63, 0, {}],
        [1.5, 0, 0, 1.0, {}],
        [1.5, 0, 0, True, {}],
        [1.5, 0, 0, 0, None],
        [1.5, 0, 0, 0, {1: 2}],
    ],
)
def test_what_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(CorruptIndexError, match="rebuilding"):
        RebuildNote.of({REBUILD_NOTE: wrong})
