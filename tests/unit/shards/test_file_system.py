"""File systems of networks are known by their type; mounts over one another, odd names, and none at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from pqstore.errors import NetworkFileSystemError
from pqstore.shards.file_system import file_system_of, is_of_network, refuse_network

MOUNTS = r"""22 1 8:1 / / rw,relatime - ext4 /dev/sda rw
30 22 0:40 / /mnt rw - tmpfs tmpfs rw
31 30 0:41 / /mnt/shared rw shared:3 master:1 - nfs4 server:/export rw,vers=4.2
32 31 0:42 / /mnt/shared/local rw - xfs /dev/sdb rw
33 22 0:43 / /mnt/with\040space rw - fuse.s3fs s3fs rw
34 22 0:44 / /twice rw - cifs //server/x rw
35 22 0:45 / /twice rw - btrfs /dev/sdc rw
36 22 0:46 / /disk rw - fuseblk /dev/sdd rw
a line that means nothing
"""


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    (tmp_path / "mountinfo").write_text(MOUNTS)
    return tmp_path / "mountinfo"


@pytest.mark.parametrize(
    ("path", "kind", "network"),
    [
        ("/home/x", "ext4", False),
        ("/mnt/x", "tmpfs", False),
        ("/mnt/shared", "nfs4", True),
        ("/mnt/shared/a/b", "nfs4", True),
        ("/mnt/sharedother", "tmpfs", False),
        ("/mnt/shared/local/index", "xfs", False),
        ("/mnt/with space/x", "fuse.s3fs", True),
        ("/twice/x", "btrfs", False),
        ("/disk/x", "fuseblk", False),
    ],
)
def test_types(path: str, kind: str, network: bool, mounts: Path) -> None:
    assert file_system_of(Path(path), mounts) == kind
    assert is_of_network(Path(path), mounts) == network


def test_where_the_system_does_not_say_nothing_is_refused(tmp_path: Path) -> None:
    assert file_system_of(tmp_path, tmp_path / "nothing") is None
    assert not is_of_network(tmp_path, tmp_path / "nothing")
    refuse_network(tmp_path, "the test", "do something else")  # where tests run, files are local


def test_the_error_says_what_to_do(mounts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_system_of, "__defaults__", (mounts,))
    monkeypatch.setattr(is_of_network, "__defaults__", (mounts,))
    with pytest.raises(NetworkFileSystemError, match=r"the test at /mnt/shared/x lies on nfs4.*: take another"):
        refuse_network(Path("/mnt/shared/x"), "the test", "take another")
