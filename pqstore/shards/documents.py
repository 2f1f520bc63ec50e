"""The documents of a collection: JSON, written whole and made durable; read without trust in anything they say.

A document is a map of its kind, its version, a body, and the BLAKE2b of these three in their one canonical form.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from pqstore.errors import CorruptIndexError, DocumentError, FormatVersionError
from pqstore.shards.own_files import read_own
from pqstore.storage.disk.directory import sync_directory
from pqstore.storage.disk.regular_file import check_regular
from pqstore.storage.format.fields import Field, UnfitError, matching, whole
from pqstore.whole_file import whole_file

__all__ = ["COUNT", "DIGEST", "TEXT", "canonical", "digest", "read_document", "text_of", "write_document"]

VERSION = 1
_LARGEST = 64 << 20  # bytes, of which JSON makes some twenty times as many: a hundred thousand shards take half
_DIGEST_BYTES = 16


def text_of(most: int) -> Field:
    """A text of so many characters that may be a name of the system's."""
    fits = matching(rf"[^\0]{{1,{most}}}", f"a text of 1 to {most} characters")

    def check(value: Any) -> Any:
        try:
            os.fsencode(fits(value))
        except UnicodeEncodeError:  # half of a pair of UTF-16
            raise UnfitError(value, "a text that can be the name of a file") from None
        return value

    return check


COUNT: Final = whole(0, 1 << 62)
DIGEST: Final = matching("[0-9a-f]{32}", "32 hexadecimal digits")
"""What `digest` gives."""
TEXT: Final = text_of(4096)


def canonical(value: Any) -> bytes:
    """The one way to write plain data: keys in order, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def digest(*parts: bytes) -> str:
    """BLAKE2b of parts, 32 hexadecimal digits; where one part ends and the next begins counts."""
    total = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()


def write_document(path: Path, kind: str, field: Field, body: Any, most: int = _LARGEST) -> None:
    """Write a document beside its place, make it durable, then put it there; one that nobody could read is not written.

    Raises:
        OSError: it cannot be written.
        DocumentError: it would not be what its field says, or longer than `most` bytes.
        CorruptIndexError: in its place is a link, or what is no file.
    """
    check_regular(path)
    try:
        field(json.loads(json.dumps(body)))
    except UnfitError as error:
        raise DocumentError(f"{path} would be no sound {kind}: {error}") from error
    contents = {"pqstore": kind, "version": VERSION, "body": body}
    raw = json.dumps({**contents, "sum": digest(canonical(contents))}, indent=1).encode()
    if len(raw) > most:
        raise DocumentError(f"{path}: a {kind} takes at most {most >> 20} MiB, this one would take {len(raw):,} bytes")
    with whole_file(path) as stream:
        stream.write(raw)
    sync_directory(path.parent)


def read_document(path: Path, kind: str, field: Field, most: int = _LARGEST) -> Any:
    """The body of a document, as its field says.

    Raises:
        FileNotFoundError: there is none.
        DocumentError: it is damaged, of another kind, longer than `most` bytes, or says what cannot be; or it is a
            link, a pipe, a directory.
        FormatVersionError: it is of a newer version.
    """
    try:
        raw = read_own(path, most)
    except CorruptIndexError as error:
        raise DocumentError(f"a {kind} expected: {error}") from error
    try:
        return field(_body_of(_parsed(raw), kind))
    except FormatVersionError as error:
        raise FormatVersionError(f"{path}: {error}") from error
    except (DocumentError, UnfitError, RecursionError) as error:
        raise DocumentError(f"{path} is no sound {kind}: {error}") from error


def _body_of(contents: Any, kind: str) -> Any:
    """The body of a document of this kind, version and sum."""
    if type(contents) is not dict or contents.get("pqstore") != kind:
        raise DocumentError(f"a {kind} of pqstore expected")
    if type(contents.get("version")) is int and contents["version"] > VERSION:
        raise FormatVersionError(f"version {contents['version']} of a {kind}: upgrade pqstore")
    said = contents.pop("sum", None)
    if contents.keys() != {"pqstore", "version", "body"} or contents["version"] != VERSION:
        raise DocumentError(f"a {kind} of version {VERSION} has a body and a sum, and nothing else")
    if said != digest(canonical(contents)):
        raise DocumentError("its sum is not that of its contents: it was changed or damaged after it was written")
    return contents["body"]


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw, object_pairs_hook=_distinct, parse_float=_refuse, parse_constant=_refuse)
    except DocumentError:
        raise
    except ValueError as error:  # JSON's and Unicode's errors, and numbers of too many digits
        raise DocumentError(f"it is no JSON: {error}") from error


def _distinct(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise DocumentError("a map has a key twice")
    return found


def _refuse(word: str) -> NoReturn:
    raise DocumentError(f"whole numbers expected, got {word[:40]}")
