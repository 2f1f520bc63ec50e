r"""Text files by lines: UTF-8, with or without a byte order mark, lines that end in \n or \r\n and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

from pqstore.errors import CorpusFileError

__all__ = ["read_lines"]

_BOM = b"\xef\xbb\xbf"
_MAGIC = {
    b"PAR1": "a Parquet file: name its columns with --id-column or --payload-columns",
    b"ARROW1": "an Arrow file: name its columns with --id-column or --payload-columns",
    b"\x93NUMPY": "a .npy file: give it a name that ends so",
    b"PK\x03\x04": "a zip archive",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"\xff\xfe": "UTF-16: save it as UTF-8",
    b"\xfe\xff": "UTF-16: save it as UTF-8",
}
_HEAD = 4096


def read_lines(path: str) -> Iterator[bytes]:
    r"""The lines of a file, without their ends; empty ones at the end of the file are none.

    Raises:
        CorpusFileError: the file is no text.
        OSError: it cannot be read.
    """
    from pqstore.paths import as_path

    with as_path(path).open("rb") as stream:
        head = stream.peek(_HEAD)[:_HEAD]
        _refuse_binary(path, head)
        if head.startswith(_BOM):
            stream.read(len(_BOM))
        empty = 0
        for line in stream:
            text = line.removesuffix(b"\n").removesuffix(b"\r") if line.endswith(b"\n") else line
            if not text:
                empty += 1
                continue
            for _ in range(empty):
                yield b""
            empty = 0
            yield text


def _refuse_binary(path: str, head: bytes) -> None:
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise CorpusFileError(f"{path}: lines of text expected, but this is {what}")
    if b"\0" in head:
        raise CorpusFileError(f"{path}: lines of text expected, got a NUL at byte {head.index(0)}: it is no text")
