"""A quantizer's file: an uncompressed .npz of settings and arrays, checked before use, without pickle.

Members: ``format.npy`` (uint32 scalar: the version), ``settings.npy`` (uint8, the settings as JSON in UTF-8), then one
member an array. The zip's own CRC-32 guards each member.
"""

from __future__ import annotations

import json
import struct
import zipfile
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

from pqstore.errors import FormatVersionError, InvalidQuantizerError
from pqstore.paths import as_path
from pqstore.quantizer.state import Settings, array_shapes, check_settings
from pqstore.whole_file import whole_file

__all__ = ["read", "write"]

VERSION = 1
# Settings are five short fields; more than this is not ours.
_LARGEST_SETTINGS = 4096


def write(path: str | PathLike[str], settings: Settings, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write the file beside its place, make it durable, then put it there."""
    text = np.frombuffer(json.dumps(settings).encode(), dtype=np.uint8)
    members = {name: array.astype("<f4", copy=False) for name, array in arrays.items()}
    with whole_file(path) as stream:
        np.savez(stream, format=np.array(VERSION, dtype="<u4"), settings=text, **members)  # type: ignore[arg-type]


def read(path: str | PathLike[str]) -> tuple[Settings, dict[str, npt.NDArray[np.float32]]]:
    """Settings and arrays of the file; shapes and sizes are those that the settings say, or an error.

    Raises:
        FileNotFoundError, FormatVersionError, InvalidQuantizerError: see `Quantizer.load`.
    """
    # Opened first: that there is no file, or no permission, is no damage.
    with as_path(path).open("rb") as stream:
        try:
            with zipfile.ZipFile(stream) as archive:
                return _read_members(archive)
        except FormatVersionError as error:
            raise FormatVersionError(f"{path}: {error}") from error
        except _DAMAGE as error:
            raise InvalidQuantizerError(f"{path} is no sound quantizer file: {error}") from error


# What zipfile raises over damaged bytes, besides BadZipFile, and our own error, which is a ValueError.
_DAMAGE = (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError, ValueError, struct.error)


def _read_members(archive: zipfile.ZipFile) -> tuple[Settings, dict[str, npt.NDArray[np.float32]]]:
    version = int(_member(archive, "format", (), "u4"))
    if version != VERSION:
        raise FormatVersionError(f"quantizer file of format {version}; this pqstore reads {VERSION}: upgrade pqstore")
    settings = _settings(_member(archive, "settings", None, "u1"))
    shapes = array_shapes(settings)
    if set(archive.namelist()) != {"format.npy", "settings.npy", *(f"{name}.npy" for name in shapes)}:
        raise InvalidQuantizerError("its members are not those that its settings name")
    return settings, {name: _member(archive, name, shape, "f4") for name, shape in shapes.items()}


def _member(archive: zipfile.ZipFile, name: str, shape: tuple[int, ...] | None, kind: str) -> npt.NDArray[Any]:
    """One array; `shape` None stands for one short axis. Sizes are compared with the archive's before reading."""
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError as error:
        raise InvalidQuantizerError(f"it has no {name!r}") from error
    if info.compress_type != zipfile.ZIP_STORED:
        raise InvalidQuantizerError(f"{name!r} is compressed; pqstore stores its arrays plainly")
    with archive.open(info) as stream:
        try:
            npy_version = npy.read_magic(stream)
            header = npy.read_array_header_1_0 if npy_version == (1, 0) else npy.read_array_header_2_0
            actual, fortran, dtype = header(stream)
        except Exception as error:  # NumPy's parser raises nearly anything over damaged bytes
            raise InvalidQuantizerError(f"{name!r} has a damaged header: {error}") from error
        size = info.file_size - stream.tell()
        expected = shape if shape is not None else (size,)
        bytes_expected = int(np.dtype(kind).itemsize) * int(np.prod(expected, dtype=object))
        fits = actual == expected and dtype == np.dtype(f"<{kind}") and not fortran and size == bytes_expected
        if not fits or (shape is None and size > _LARGEST_SETTINGS):
            raise InvalidQuantizerError(
                f"{name!r} must be {np.dtype(kind)} {expected} in {bytes_expected} bytes, "
                f"got {dtype} {actual} in {size} bytes"
            )
        # A plainly stored member is no longer than its archive: the size is safe to ask for.
        data = stream.read(size + 1)
    if len(data) != size:
        raise InvalidQuantizerError(f"{name!r} is cut short: {len(data)} of {size} bytes")
    return np.frombuffer(data, dtype=f"<{kind}").reshape(expected)


def _settings(text: npt.NDArray[np.uint8]) -> Settings:
    try:
        return check_settings(json.loads(text.tobytes()))
    except (ValueError, RecursionError) as error:  # JSON's and Unicode's errors are ValueErrors; so is ours
        raise InvalidQuantizerError(f"damaged settings: {error}") from error
