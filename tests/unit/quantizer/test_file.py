"""save and load: round trips, refusals, damage of every kind."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pqstore.errors import FormatVersionError, InvalidQuantizerError
from pqstore.quantizer import OPQ, PQ, Quantizer


def test_round_trip(quantizer: PQ | OPQ, tmp_path: Path, sift: np.ndarray) -> None:
    path = tmp_path / "any name.quantizer"
    quantizer.save(path)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    for load in (type(quantizer).load, Quantizer.load):
        again = load(str(path))
        assert again == quantizer
        assert type(again) is type(quantizer)
        assert not again.verbose
        np.testing.assert_array_equal(again.encode(sift[:20]), quantizer.encode(sift[:20]))


@pytest.mark.parametrize("kind", [PQ, OPQ])
def test_an_untrained_quantizer_round_trips_too(kind: type[PQ | OPQ], tmp_path: Path) -> None:
    quantizer = kind(4, 1 << 32, "dot", verbose=False)
    quantizer.save(tmp_path / "q")
    assert Quantizer.load(tmp_path / "q") == quantizer


def test_the_kind_is_checked(trained: dict[tuple[str, str], PQ | OPQ], tmp_path: Path) -> None:
    trained["PQ", "l2"].save(tmp_path / "pq")
    trained["OPQ", "l2"].save(tmp_path / "opq")
    with pytest.raises(InvalidQuantizerError, match=r"state of a PQ.*use PQ\.load"):
        OPQ.load(tmp_path / "pq")
    with pytest.raises(InvalidQuantizerError, match=r"state of a OPQ.*use OPQ\.load"):
        PQ.load(tmp_path / "opq")


def test_no_file_and_no_directory(tmp_path: Path, trained: dict[tuple[str, str], PQ | OPQ]) -> None:
    with pytest.raises(FileNotFoundError):
        PQ.load(tmp_path / "missing")
    with pytest.raises(OSError):  # noqa: PT011 # whatever the system says
        PQ.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        trained["PQ", "l2"].save(tmp_path / "missing" / "q")


def test_a_failed_save_leaves_the_old_file(
    tmp_path: Path, trained: dict[tuple[str, str], PQ | OPQ], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "q"
    trained["PQ", "l2"].save(path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        trained["OPQ", "l2"].save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["q"]
    assert Quantizer.load(path) == trained["PQ", "l2"]


def test_the_file_is_a_plain_archive_for_numpy(quantizer: PQ | OPQ, tmp_path: Path) -> None:
    quantizer.save(tmp_path / "q.npz")
    with np.load(tmp_path / "q.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["codewords"], quantizer.codewords)


def rewrite(path: Path, change: Callable[[dict[str, bytes]], None], compression: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def lying_header(shape: tuple[int, ...], descr: str = "<f4", body: bytes = b"") -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})
    return stream.getvalue() + body


def settings_of(text: str) -> bytes:
    return npy(np.frombuffer(text.encode(), dtype=np.uint8))


SOUND = {"kind": "OPQ", "M": 2, "Ks": 4, "D": 6, "metric": "l2"}


class TestDamage:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        opq = OPQ(2, 4, verbose=False)
        opq.codewords = np.arange(24).reshape(2, 4, 3)
        opq.R = np.eye(6)
        opq.save(tmp_path / "q")
        assert OPQ.load(tmp_path / "q") == opq
        return tmp_path / "q"

    def test_every_flipped_byte_is_noticed_or_harmless(self, path: Path) -> None:
        sound, expected = path.read_bytes(), OPQ.load(path)
        noticed = 0
        for position in range(0, len(sound), 2):
            damaged = bytearray(sound)
            damaged[position] ^= 0xFF
            path.write_bytes(bytes(damaged))
            try:
                # Fields of the archive that nobody reads (dates, attributes) may change.
                assert OPQ.load(path) == expected
            except (InvalidQuantizerError, FormatVersionError) as error:
                noticed += 1
                assert str(path) in str(error)  # noqa: PT017 # some positions raise, some do not
        assert noticed > len(sound) / 4

    def test_every_truncation_is_noticed(self, path: Path) -> None:
        sound = path.read_bytes()
        for length in range(0, len(sound), 7):
            path.write_bytes(sound[:length])
            with pytest.raises(InvalidQuantizerError, match="no sound quantizer file"):
                OPQ.load(path)

    @pytest.mark.parametrize("text", [b"", b"hello", b"\x93NUMPY", pickle.dumps({"a": 1})])
    def test_other_files(self, path: Path, text: bytes) -> None:
        path.write_bytes(text)
        with pytest.raises(InvalidQuantizerError, match="no sound quantizer file"):
            OPQ.load(path)

    @pytest.mark.parametrize(
        "changes",
        [
            {"codewords.npy": npy(np.zeros((2, 4, 2), dtype="f4"))},
            {"codewords.npy": npy(np.zeros((2, 4, 3), dtype="f8"))},
            {"codewords.npy": npy(np.asfortranarray(np.zeros((2, 4, 3), dtype="f4")))},
            {"codewords.npy": npy(np.full((2, 4, 3), np.nan, dtype="f4"))},
            {"codewords.npy": lying_header((2, 4, 3), body=b"1234")},
            {"codewords.npy": lying_header((2, 4, 3), body=bytes(97))},
            {"codewords.npy": lying_header((1 << 40, 4, 3))},
            {"codewords.npy": lying_header((-2, -4, 3), body=bytes(96))},
            {"codewords.npy": b"\x93NUMPY\x01\x00\xff\xff{"},
            {"codewords.npy": b"\x93NUMPY\x09\x00\x06\x00{}   \n"},
            {"R.npy": npy(np.zeros((6, 6), dtype="f4"))},
            {"R.npy": None},
            {"codewords.npy": None},
            {"settings.npy": None},
            {"format.npy": None},
            {"format.npy": npy(np.array([1], dtype="u4"))},
            {"format.npy": npy(np.array({"a": 1}, dtype=object))},
            {"stranger.npy": npy(np.zeros(1))},
            {"settings.npy": settings_of("")},
            {"settings.npy": settings_of("[1, 2]")},
            {"settings.npy": settings_of("[" * 4000)},
            {"settings.npy": npy(np.full(10, 255, dtype=np.uint8))},
            {"settings.npy": settings_of(json.dumps(SOUND) + " " * 5000)},
            {"settings.npy": settings_of(json.dumps({**SOUND, "M": 3}))},
            {"settings.npy": settings_of(json.dumps({**SOUND, "D": 6.0}))},
            {"settings.npy": settings_of(json.dumps({**SOUND, "Ks": 1 << 31}))},
            {"settings.npy": settings_of(json.dumps({**SOUND, "metric": "angular"}))},
            {"settings.npy": settings_of(json.dumps({**SOUND, "D": None}))},
            {"settings.npy": settings_of(json.dumps({**SOUND, "kind": "PQ"}))},
            {"settings.npy": settings_of(json.dumps({**SOUND, "D": 10**30 * 2}))},
        ],
        ids=lambda changes: next(iter(changes)),
    )
    def test_members_that_lie(self, path: Path, changes: dict[str, bytes | None]) -> None:
        def change(members: dict[str, bytes]) -> None:
            for name, data in changes.items():
                members.pop(name, None)
                if data is not None:
                    members[name] = data

        rewrite(path, change)
        with pytest.raises(InvalidQuantizerError, match=path.name):
            OPQ.load(path)

    def test_a_newer_format_is_named(self, path: Path) -> None:
        rewrite(path, lambda members: members.update({"format.npy": npy(np.array(2, dtype="<u4"))}))
        with pytest.raises(FormatVersionError, match="format 2; this pqstore reads 1"):
            OPQ.load(path)

    def test_compressed_members_are_refused(self, path: Path) -> None:
        """A few bytes of compressed zeros could ask for any amount of memory."""
        rewrite(path, lambda _: None, zipfile.ZIP_DEFLATED)
        with pytest.raises(InvalidQuantizerError, match="compressed"):
            OPQ.load(path)

    def test_nothing_is_unpickled(self, path: Path) -> None:
        class Bomb:
            def __reduce__(self) -> tuple:
                return (pytest.fail, ("unpickled",))

        bomb = io.BytesIO()
        np.save(bomb, np.array([Bomb()], dtype=object), allow_pickle=True)
        rewrite(path, lambda members: members.update({"codewords.npy": bomb.getvalue()}))
        with pytest.raises(InvalidQuantizerError):
            OPQ.load(path)
