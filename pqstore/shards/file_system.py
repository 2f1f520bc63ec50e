"""On which file system a path lies: an index is a memory map with locks, which hold on local ones alone."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pqstore.errors import NetworkFileSystemError

__all__ = ["file_system_of", "is_of_network", "refuse_network"]

_MOUNTS = Path("/proc/self/mountinfo")
# Types as the system names them. FUSE names the program behind it; of those without a name nothing is known.
_OF_NETWORK = re.compile(
    r"nfs\d*|cifs|smb\d*|smbfs|ncpfs?|afs|coda|ceph|lustre|beegfs|gpfs|glusterfs|orangefs|pvfs2|gfs2|ocfs2|panfs|wekafs|"
    r"fuse\.(sshfs|s3fs|s3ql|goofys|gcsfuse|blobfuse2?|mount-s3|mountpoint-s3|rclone|juicefs|alluxio.*|ceph|ceph-fuse|"
    r"glusterfs|hdfs|davfs2?|curlftpfs|seaweedfs|cvmfs2|dbfs|lakefs|moosefs|mfs|lizardfs|objectivefs)"
)


def file_system_of(path: Path, mounts: Path = _MOUNTS) -> str | None:
    """The type of the file system that a path lies on, or would; None: this system does not say."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    place = os.path.realpath(path)
    found, longest = None, -1
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kinds = before.split(" "), after.split(" ")
        if len(fields) < 5 or not kinds[0]:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        inside = place == point or place.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of mounts over one another the last one counts
            found, longest = kinds[0], len(point)
    return found


def is_of_network(path: Path, mounts: Path = _MOUNTS) -> bool:
    """Whether a path is known to lie on the file system of a network."""
    kind = file_system_of(path, mounts)
    return kind is not None and _OF_NETWORK.fullmatch(kind) is not None


def refuse_network(path: Path, what: str, instead: str) -> None:
    """Refuse to open an index where memory maps and locks do not hold.

    Raises:
        NetworkFileSystemError: the path lies on a file system of a network.
    """
    if is_of_network(path):
        raise NetworkFileSystemError(
            f"{what} at {path} lies on {file_system_of(path)}, a file system of a network, where the memory map and "
            f"the locks of an index do not hold: {instead}"
        )
