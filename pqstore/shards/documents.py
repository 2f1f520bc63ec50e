"""The documents of a collection: JSON, written whole and made durable; read without trust in anything they say.

A document is a map of its kind, its version, a body, and the BLAKE2b of these three in their one canonical form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from pqstore.errors import DocumentError, FormatVersionError
from pqstore.storage.disk.directory import sync_directory
from pqstore.storage.format.fields import Field, UnfitError, matching, whole
from pqstore.whole_file import whole_file

__all__ = ["COUNT", "DIGEST", "TEXT", "canonical", "digest", "read_document", "text_of", "write_document"]

VERSION = 1
_LARGEST = 512 << 20  # bytes: a plan of a million pieces is a tenth of that
_DIGEST_BYTES = 16


def text_of(most: int) -> Field:
    """A text of so many characters that may be a name of the system's."""
    return matching(rf"[^\0]{{1,{most}}}", f"a text of 1 to {most} characters")


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


def write_document(path: Path, kind: str, body: Any) -> None:
    """Write a document beside its place, make it durable, then put it there.

    Raises:
        OSError: it cannot be written.
    """
    contents = {"pqstore": kind, "version": VERSION, "body": body}
    with whole_file(path) as stream:
        stream.write(json.dumps({**contents, "sum": digest(canonical(contents))}, indent=1).encode())
    sync_directory(path.parent)


def read_document(path: Path, kind: str, field: Field) -> Any:
    """The body of a document, as its field says.

    Raises:
        FileNotFoundError: there is none.
        DocumentError: it is damaged, of another kind, or says what cannot be.
        FormatVersionError: it is of a newer version.
    """
    with path.open("rb") as stream:
        raw = stream.read(_LARGEST + 1)
    if len(raw) > _LARGEST:
        raise DocumentError(f"{path}: a {kind} of at most {_LARGEST >> 20} MiB expected")
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
