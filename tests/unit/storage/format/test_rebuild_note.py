"""What an unfinished generation says of how far it is: every field that cannot be is refused."""

from __future__ import annotations

from typing import Any

import pytest

from pqstore.errors import CorruptIndexError
from pqstore.storage.format.rebuild_note import REBUILD_NOTE, RebuildNote

NOTE = RebuildNote(bytes(32), 5000, 4990, 3000, {"sample": 20_000, "originals": None})


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
        [bytes(31), *NOTE.packed()[1:]],
        ["x" * 32, *NOTE.packed()[1:]],
        [bytes(32), -1, 0, 0, {}],
        [bytes(32), 0, 2**63, 0, {}],
        [bytes(32), 0, 0, 1.0, {}],
        [bytes(32), 0, 0, True, {}],
        [bytes(32), 0, 0, 0, None],
        [bytes(32), 0, 0, 0, {1: 2}],
    ],
)
def test_what_cannot_be_is_refused(wrong: Any) -> None:
    with pytest.raises(CorruptIndexError, match="rebuilding"):
        RebuildNote.of({REBUILD_NOTE: wrong})
