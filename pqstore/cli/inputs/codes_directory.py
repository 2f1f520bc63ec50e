"""Codes as plain arrays: a directory of codes.npy, ids.npy or ids.jsonl, and quantizer.npz."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pqstore.errors import CorpusFileError, DimensionError, IndexExistsError, InvalidCodeError, InvalidQuantizerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from pqstore import Index

__all__ = ["ids_file", "import_codes", "load_quantizer", "open_codes", "write_directory"]


def write_directory(index: Index, path: str, advance: Callable[[int], None]) -> int:
    """Write one state of the index, block by block; how many rows. The directory appears when it is whole.

    Raises:
        IndexExistsError: something is at `path`.
    """
    import numpy as np

    target = Path(path).absolute()
    if target.exists():
        raise IndexExistsError(f"{target} exists already: choose another path")
    temporary = target.with_name(f"{target.name}.unfinished-{uuid.uuid4().hex[:12]}")
    temporary.mkdir()
    try:
        quantizer = index.quantizer
        # As an index of this metric: a quantizer trained under one may serve another.
        settings, arrays = quantizer.state()
        type(quantizer).from_state({**settings, "metric": index.metric}, arrays).save(temporary / "quantizer.npz")
        with index.snapshot() as view, _ids_writer(temporary, index.id_type, len(view)) as write_ids:
            rows = len(view)
            with (temporary / "codes.npy").open("wb") as stream:
                _write_header(stream, (rows, quantizer.M), np.dtype(quantizer.code_dtype))
                for ids, codes in view.iter_codes():
                    stream.write(np.ascontiguousarray(codes).data)
                    write_ids(ids)
                    advance(len(ids))
        temporary.rename(target)
    except BaseException:
        shutil.rmtree(temporary)
        raise
    return rows


@contextmanager
def _ids_writer(directory: Path, id_type: str, rows: int) -> Iterator[Callable[[Any], object]]:
    import numpy as np

    if id_type == "str":
        # Strings of any length; one cannot span lines, whatever it holds.
        with (directory / "ids.jsonl").open("w", encoding="utf-8") as lines:
            yield lambda ids: lines.writelines(json.dumps(value) + "\n" for value in ids)
    else:
        with (directory / "ids.npy").open("wb") as stream:
            _write_header(stream, (rows,), np.dtype(np.int64))
            yield lambda ids: stream.write(np.ascontiguousarray(ids).data)


def _write_header(stream: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    import numpy.lib.format as npy

    descr = npy.dtype_to_descr(dtype)
    npy.write_array_header_1_0(stream, {"descr": descr, "fortran_order": False, "shape": shape})


def open_codes(path: str | Path) -> npt.NDArray[Any]:
    """An array of codes (n, M), mapped.

    Raises:
        CorpusFileError: the file holds something else.
    """
    from pqstore.interop.corpus.array_files import map_array

    codes = map_array(path, "codes")
    if codes.ndim != 2 or codes.dtype.kind not in "iu":
        raise CorpusFileError(
            f"{path}: codes, integers of shape (n, M), expected, got {codes.dtype} of shape {codes.shape}"
        )
    return codes


def load_quantizer(path: str | Path) -> Any:
    """A quantizer from the file that `save` wrote, or from a nanopq pickle (nothing of which is executed).

    Raises:
        InvalidQuantizerError, FormatVersionError, OSError: it cannot be read as one of these.
    """
    from pqstore.interop.nanopq import load_nanopq_pickle
    from pqstore.quantizer import Quantizer

    with Path(path).open("rb") as stream:
        is_archive = stream.read(2) == b"PK"
    quantizer: Any = Quantizer.load(path) if is_archive else load_nanopq_pickle(path)
    if not quantizer.is_trained:
        raise InvalidQuantizerError(f"{path}: the quantizer is not trained")
    return quantizer


def ids_file(directory: Path) -> str:
    """The file of ids in a directory of codes."""
    named = directory / "ids.jsonl"
    return str(named if named.exists() else directory / "ids.npy")


def import_codes(target: str, quantizer: Any, codes: npt.NDArray[Any], codes_name: str, ids: Any, advance: Any) -> int:
    """Make an index at `target` of codes (n, M) and ids as `read_ids` gives them (None: 0, 1, 2, ...); how many rows.

    Nothing is at `target` before everything is.

    Raises:
        DimensionError: the codes are not of this quantizer.
        InvalidCodeError: a code is out of range.
    """
    import numpy as np

    from pqstore import Index

    if len(codes) and codes.shape[1] != quantizer.M:
        raise DimensionError(f"{codes_name}: codes of shape (n, {quantizer.M}) expected, got {codes.shape}")

    def blocks() -> Iterator[npt.NDArray[Any]]:
        step = 65_536
        for start in range(0, len(codes), step):
            yield np.array(codes[start : start + step])
            advance(min(step, len(codes) - start))

    id_type: Any = "str" if isinstance(ids, list) else "int64"
    with Index.create(target, quantizer, id_type=id_type, bulk=True) as index:
        if len(codes):
            try:
                index.add_codes(blocks(), ids=ids)
            except InvalidCodeError as error:
                raise InvalidCodeError(f"{codes_name}: {error}") from error
        return len(index)
