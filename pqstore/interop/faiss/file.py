"""Faiss index files, read and written without Faiss: of any size, by mapping and in blocks.

Numbers are little-endian; a vector is its length (uint64), then its items. An index is a four-letter code, then
dimension (int32), rows (int64), two unused int64, whether it is trained (uint8), metric (int32: 0 inner product, 1
squared L2; another one has a float32 argument), then what its class adds:

* ``IxPq`` (IndexPQ): product quantizer (dimension, M, bits: uint64; centroids: float32 vector), codes (uint8 vector),
  search type (int32), whether codes are signs (uint8), a threshold (int32). ``IxPQ``, ``IxPo``: older, always L2.
* ``IPfs`` (IndexPQFastScan): product quantizer, implementation (int32), vectors a block (int32), queries a block
  (int32), rows with padding (uint64), sub-spaces with padding (uint64), codes (uint8 vector).
* ``IxPT`` (IndexPreTransform): how many transforms (int32), the transforms, the index.
* ``IxMp``, ``IxM2`` (IndexIDMap, IndexIDMap2): the index, ids (int64 vector).
* ``IxRF`` (IndexRefine): base index, refining index, factor (float32).
* ``IxF2``, ``IxFI``, ``IxFl`` (IndexFlat): vectors (float32 vector).
* ``IwPQ`` (IndexIVFPQ): partitions and partitions to probe (uint64), the index that finds them, a direct map (its type,
  uint8; int64 vector; of type 2, pairs), whether codes are residuals (uint8), bytes of a code (uint64), product
  quantizer, inverted lists: ``ilar``, lists and bytes of a code (uint64), ``full`` and their sizes (uint64 vector) or
  ``sprs`` and pairs of list and size, then of each list its codes and its ids (int64).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, U8
from pqstore.errors import UnsupportedIndexError
from pqstore.interop.faiss.bits import pack_rows, row_bytes
from pqstore.interop.faiss.contents import (
    INNER_PRODUCT,
    L2,
    FaissContents,
    FastScanBlocks,
    Linear,
    Normalization,
    Transform,
    looked_up,
    padded_codewords,
    partitioned,
)
from pqstore.interop.mapped_file import MappedFile
from pqstore.paths import as_path
from pqstore.quantizer import OPQ, Quantizer
from pqstore.whole_file import whole_file

__all__ = ["read_contents", "write_index"]

_DEEPEST = 8
_SUPPORTED = (
    "IndexPQ, IndexPQFastScan and IndexIVFPQ, also inside IndexPreTransform, IndexIDMap, IndexIDMap2 and IndexRefine"
)
_KNOWN = {
    "IxF2": "IndexFlatL2",
    "IxFI": "IndexFlatIP",
    "IxFl": "IndexFlat",
    "IwFl": "IndexIVFFlat",
    "IwPf": "IndexIVFPQFastScan",
    "IwSq": "IndexIVFScalarQuantizer",
    "IxSQ": "IndexScalarQuantizer",
    "IHNf": "IndexHNSWFlat",
    "IHNp": "IndexHNSWPQ",
    "IHNs": "IndexHNSWSQ",
    "IxRq": "IndexResidualQuantizer",
    "IxHe": "IndexLSH",
    "IBxF": "IndexBinaryFlat",
}


class _Index:
    """What the walk has found so far."""

    def __init__(self) -> None:
        self.chain: list[Transform] = []
        self.ids: npt.NDArray[np.int64] | None = None


def read_contents(path: str | PathLike[str]) -> FaissContents:
    """Take an index file apart. Codes and ids stay in the file, mapped.

    Raises:
        CorpusFileError: the file is damaged or cut short.
        UnsupportedIndexError: a type of index or of transform that has no counterpart.
        OSError: the file cannot be read.
    """
    source = MappedFile(path)
    contents = _read_index(source, _Index(), 0)
    if source.position != source.size:
        raise source.error(f"the end of the index expected, {source.size - source.position} more bytes found")
    return contents


def _read_index(source: MappedFile, around: _Index, depth: int) -> FaissContents:  # one for each type
    code = _four_letters(source)
    if depth > _DEEPEST:
        raise source.error(f"at most {_DEEPEST} indexes inside each other expected")
    start = source.position
    D, rows = source.value("i", "dimension"), source.value("q", "number of rows")
    source.take(16, "header")
    is_trained, metric_type = _flag(source, "is_trained"), source.value("i", "metric")
    if metric_type > 1:
        source.take(4, "metric argument")
    if D < 1 or rows < 0:
        raise source.error(f"a positive dimension and number of rows expected, got {D} and {rows}", start)
    if code in ("IxMp", "IxM2"):
        if around.ids is not None:
            raise UnsupportedIndexError(f"{source.path}: an IndexIDMap inside an IndexIDMap has no single list of ids")
        around.ids = np.empty(0, dtype=np.int64)  # an id map is seen; its ids follow the index
        inner = _read_index(source, around, depth + 1)
        ids = _vector(source, "<i8", "ids", rows)
        # An IndexIVFPQ has numbers of its own.
        ids = ids if inner.ids is None else ids[looked_up(inner.where, inner.ids, rows)]
        contents = _with(inner, ids=ids)
    elif code == "IxPT":
        count = source.value("i", "number of transforms")
        if not 0 <= count <= _DEEPEST:
            raise source.error(f"0 to {_DEEPEST} transforms expected, got {count}", source.position - 4)
        around.chain.extend(_read_transform(source) for _ in range(count))
        contents = _read_index(source, around, depth + 1)
    elif code == "IxRF":
        contents = _read_refined(source, around, depth, D)
        source.take(4, "factor of an IndexRefine")
    elif code in ("IwPQ", "IxPq", "IxPQ", "IxPo", "IPfs"):
        if code in ("IxPQ", "IxPo"):
            metric_type = L2  # the old formats wrote a wrong metric, and searched by L2
        return _read_pq(source, code, D=D, rows=rows, is_trained=is_trained, metric_type=metric_type, around=around)
    else:
        name = _KNOWN.get(code, f"an index of type {code!r}")
        raise UnsupportedIndexError(f"{source.path}: {name} has no counterpart in pqstore, which takes {_SUPPORTED}")
    if contents.rows != rows:
        raise source.error(f"{rows} rows announced, but the index inside has {contents.rows}", start)
    return _with(contents, is_trained=contents.is_trained and is_trained, metric_type=metric_type)


def _read_pq(
    source: MappedFile, code: str, *, D: int, rows: int, is_trained: bool, metric_type: int, around: _Index
) -> FaissContents:
    if code == "IwPQ":
        return _read_ivf_pq(source, D=D, rows=rows, is_trained=is_trained, metric_type=metric_type, around=around)
    start = source.position
    M, nbits, centroids = _read_codebook(source, D)
    fast_scan = None
    if code == "IPfs":
        _, block_vectors, _ = (source.value("i", "fast-scan settings") for _ in range(3))
        padded_rows, M2 = source.value("Q", "rows with padding"), source.value("Q", "sub-spaces with padding")
        if nbits != 4 or block_vectors < 32 or block_vectors % 32 or M2 != M + M % 2:
            raise source.error(
                f"fast-scan blocks of a multiple of 32 vectors, 4 bits, M rounded up to even expected; "
                f"got {block_vectors} vectors, {nbits} bits, {M2} sub-spaces for M = {M}",
                start,
            )
        if padded_rows != -(-rows // block_vectors) * block_vectors:
            raise source.error(f"{rows} rows rounded up to {block_vectors} expected, got {padded_rows}", start)
        fast_scan = FastScanBlocks(block_vectors, M2)
        codes = _vector(source, "u1", "codes", padded_rows * M2 // 2)
    else:
        codes = _vector(source, "u1", "codes", rows * row_bytes(M, nbits))
    if code in ("IxPq", "IxPo"):
        source.take(4, "search type")
        if _flag(source, "encode_signs"):
            raise UnsupportedIndexError(f"{source.path}: codes of signs (encode_signs) have no counterpart in pqstore")
        source.take(4, "polysemous threshold")
    return FaissContents(
        where=str(source.path),
        is_trained=is_trained,
        metric_type=metric_type,
        chain=tuple(around.chain),
        M=M,
        nbits=nbits,
        centroids=centroids,
        rows=rows,
        codes=codes,
        fast_scan=fast_scan,
        ids=None,
    )


def _read_refined(source: MappedFile, around: _Index, depth: int, D: int) -> FaissContents:
    """The base of an IndexRefine, with the vectors of a flat one."""
    turned = bool(around.chain)  # then what is stored here are no longer the vectors that were added
    contents = _read_index(source, around, depth + 1)
    vectors = _read_refinement(source, depth)
    if vectors is None or turned:
        return contents
    start = source.position
    if vectors.size != contents.rows * D:
        raise source.error(f"{contents.rows} vectors of dimension {D} expected, got {vectors.size} values", start)
    order = None if contents.ids is None else looked_up(contents.where, contents.ids, contents.rows)
    return _with(contents, vectors=vectors.reshape(contents.rows, D), order=order)


def _read_ivf_pq(
    source: MappedFile, *, D: int, rows: int, is_trained: bool, metric_type: int, around: _Index
) -> FaissContents:
    start = source.position
    nlist = source.value("Q", "number of partitions")
    source.take(8, "partitions to probe")
    centroids = _read_coarse(source, nlist, D)
    map_type = source.value("B", "type of the direct map")
    _vector(source, "<i8", "direct map")
    if map_type == 2:
        count = source.value("Q", "length of the direct map")
        source.take(16 * count, "direct map")
    by_residual, code_size = _flag(source, "by_residual"), source.value("Q", "bytes of a code")
    M, nbits, codebook = _read_codebook(source, D)
    if code_size != row_bytes(M, nbits):
        raise source.error(f"codes of {row_bytes(M, nbits)} bytes expected, got {code_size}", start)
    found = partitioned(centroids, by_residual, _read_lists(source, nlist, code_size))
    if found["rows"] != rows:
        raise source.error(f"{rows} rows announced, but the partitions have {found['rows']}", start)
    return FaissContents(
        where=str(source.path),
        is_trained=is_trained,
        metric_type=metric_type,
        chain=tuple(around.chain),
        M=M,
        nbits=nbits,
        centroids=codebook,
        fast_scan=None,
        **found,
    )


def _read_coarse(source: MappedFile, nlist: int, D: int) -> F32:
    """The centroids of the partitions, float32 (nlist, D), from the flat index that has them."""
    code = _four_letters(source)
    if code not in ("IxF2", "IxFI", "IxFl"):
        raise UnsupportedIndexError(
            f"{source.path}: the partitions of an IndexIVFPQ are found by {_KNOWN.get(code, code)}; pqstore reads "
            "those of a flat index"
        )
    source.position -= 4
    start = source.position
    vectors = _read_refinement(source, 0)
    if vectors is None or vectors.size != nlist * D:
        raise source.error(f"{nlist} centroids of dimension {D} expected", start)
    return vectors.reshape(nlist, D)


def _read_lists(source: MappedFile, nlist: int, code_size: int) -> list[tuple[U8, npt.NDArray[np.int64]]]:
    """(codes uint8, flat; ids int64) of each partition."""
    kind = _four_letters(source)
    if kind == "il00":
        return [(np.empty(0, dtype=np.uint8), np.empty(0, dtype=np.int64))] * nlist
    if kind != "ilar":
        raise UnsupportedIndexError(f"{source.path}: inverted lists of type {kind!r}: pqstore reads those in the file")
    start = source.position
    lists, size = source.value("Q", "number of lists"), source.value("Q", "bytes of a code")
    layout = _four_letters(source)
    if lists != nlist or size != code_size or layout not in ("full", "sprs"):
        raise source.error(f"{nlist} lists of codes of {code_size} bytes expected", start)
    sizes = _vector(source, "<u8", "sizes of lists")
    if layout == "sprs":
        pairs = sizes.reshape(-1, 2) if sizes.size % 2 == 0 else np.full((1, 2), nlist, dtype=np.uint64)
        if (pairs[:, 0] >= nlist).any():
            raise source.error(f"lists below {nlist} expected", start)
        sizes = np.zeros(nlist, dtype=np.uint64)
        sizes[pairs[:, 0].astype(np.int64)] = pairs[:, 1]
    if len(sizes) != nlist:
        raise source.error(f"{nlist} sizes of lists expected, got {len(sizes)}", start)
    return [
        (source.take(n * code_size, "codes of a list"), source.array("<i8", n, "ids of a list")) for n in sizes.tolist()
    ]


def _read_codebook(source: MappedFile, D: int) -> tuple[int, int, F32]:
    """M, bits, and centroids float32 (M, 2^bits, D / M) of a product quantizer."""
    start = source.position
    d, M, nbits = (source.value("Q", "product quantizer") for _ in range(3))
    if d != D or not 1 <= M <= D or D % M:
        raise source.error(f"a product quantizer of dimension {D}, divided by M, expected; got {d} and M = {M}", start)
    if not 1 <= nbits <= 16:
        raise UnsupportedIndexError(f"{source.path} has codes of {nbits} bits: pqstore takes 1 to 16")
    return M, nbits, _vector(source, "<f4", "centroids", d << nbits).reshape(M, 1 << nbits, d // M)


def _read_transform(source: MappedFile) -> Transform:
    code = _four_letters(source)
    start = source.position
    transform: Transform
    if code in ("LTra", "rrot", "Pcam", "Viqm"):
        if code == "Pcam":
            source.take(4 + 4 + 1 + 4, "settings of a PCAMatrix")
            for what in ("mean", "eigenvalues", "PCA matrix"):
                _vector(source, "<f4", what)
        elif code == "Viqm":
            source.take(4 + 4, "settings of an ITQMatrix")
        have_bias = _flag(source, "have_bias")
        A, b = _vector(source, "<f4", "matrix of a transform"), _vector(source, "<f4", "bias of a transform")
        d_in, d_out = _dimensions(source)
        if A.size != d_in * d_out or (have_bias and b.size != d_out):
            raise source.error(
                f"a matrix of {d_out} x {d_in} and a bias for it expected, got {A.size}, {b.size}", start
            )
        transform = Linear(A.reshape(d_out, d_in), b if have_bias else None)
    elif code == "VNrm":
        transform = Normalization(source.value("f", "norm"))
        _dimensions(source)
    elif code == "VCnt":
        mean = _vector(source, "<f4", "mean")
        d_in, d_out = _dimensions(source)
        if not d_in == d_out == mean.size:
            raise source.error(f"a mean of {d_in} values expected, got {mean.size}", start)
        transform = Linear(np.eye(d_in, dtype=np.float32), -mean)
    else:
        raise UnsupportedIndexError(f"{source.path}: a transform of type {code!r} has no counterpart in pqstore")
    return transform


def _dimensions(source: MappedFile) -> tuple[int, int]:
    d_in, d_out = source.value("i", "input dimension"), source.value("i", "output dimension")
    _flag(source, "is_trained")
    if d_in < 1 or d_out < 1:
        raise source.error(f"positive dimensions expected, got {d_in} and {d_out}", source.position - 9)
    return d_in, d_out


def _read_refinement(source: MappedFile, depth: int) -> F32 | None:
    """Read the index that re-ranks: the vectors of a flat one, float32, flat; None where it has none (a
    scalar-quantized one, or one that we read)."""
    code = _four_letters(source)
    if code not in ("IxF2", "IxFI", "IxFl", "IxSQ"):
        source.position -= 4
        _read_index(source, _Index(), depth + 1)
        return None
    start = source.position
    D, rows = source.value("i", "dimension"), source.value("q", "number of rows")
    source.take(16 + 1, "header")
    if source.value("i", "metric") > 1:
        source.take(4, "metric argument")
    if code == "IxSQ":
        source.take(4 + 4 + 4 + 8 + 8, "scalar quantizer")
        _vector(source, "<f4", "ranges of a scalar quantizer")
        _vector(source, "u1", "codes of a scalar quantizer")
        return None
    vectors = _vector(source, "<f4", "vectors of a flat index")
    if D < 1 or rows < 0 or len(vectors) != D * rows:
        raise source.error(f"{rows} vectors of dimension {D} expected, got {len(vectors)} values", start)
    return vectors


def _four_letters(source: MappedFile) -> str:
    letters = source.take(4, "type of an index").tobytes()
    try:
        return letters.decode("ascii")
    except UnicodeDecodeError as error:
        raise source.error(f"a Faiss index expected, got {letters!r}", source.position - 4) from error


def _flag(source: MappedFile, what: str) -> bool:
    flag = source.value("B", what)
    if flag > 1:
        raise source.error(f"{what}: 0 or 1 expected, got {flag}", source.position - 1)
    return bool(flag)


def _vector(source: MappedFile, dtype: str, what: str, count: int | None = None) -> npt.NDArray[Any]:
    """Length, then items; `count` is the length that all else says it must have."""
    length = source.value("Q", f"length of {what}")
    if count is not None and length != count:
        raise source.error(f"{what}: {count} items expected, got {length}", source.position - 8)
    return source.array(dtype, length, what)


def _with(contents: FaissContents, **changes: Any) -> FaissContents:
    fields = {name: getattr(contents, name) for name in FaissContents.__slots__}
    return FaissContents(**{**fields, **changes})


def write_index(
    path: str | PathLike[str],
    quantizer: Quantizer,
    blocks: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]],
) -> int:
    """Write an IndexIDMap2 around an IndexPQ, in an IndexPreTransform if vectors are normalized or rotated first.

    `blocks` are pairs of ids int64 (n,) and codes (n, M), held one at a time. The file replaces an older one only when
    it is whole. Returns the number of rows.

    Raises:
        UnsupportedIndexError: Ks beyond 65,536.
        OSError: the file cannot be written.
    """
    import tempfile  # noqa: PLC0415 # for writers alone

    with whole_file(path) as stream, tempfile.TemporaryFile(dir=as_path(path).parent) as spool:
        return _write(stream, spool, quantizer, blocks)


def _write(
    stream: BinaryIO,
    spool: BinaryIO,
    quantizer: Quantizer,
    blocks: Iterable[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]],
) -> int:
    codewords, nbits = padded_codewords(quantizer)
    M = len(codewords)
    counts = _write_headers(stream, quantizer, M * codewords.shape[2])
    stream.write(struct.pack("<QQQQ", M * codewords.shape[2], M, nbits, codewords.size))
    stream.write(codewords.astype("<f4", copy=False).tobytes())
    length_of_codes = stream.tell()
    stream.write(struct.pack("<Q", 0))
    rows = 0
    for ids, codes in blocks:
        assert len(ids) == len(codes)
        rows += len(codes)
        stream.write(pack_rows(codes, nbits).data)
        spool.write(np.ascontiguousarray(ids, dtype="<i8").data)
    # Search type: plain; no signs; the threshold that Faiss begins with.
    stream.write(struct.pack("<iBi", 0, 0, nbits * M + 1))
    stream.write(struct.pack("<Q", rows))
    spool.seek(0)
    while part := spool.read(1 << 20):
        stream.write(part)
    for position in counts:
        stream.seek(position)
        stream.write(struct.pack("<q", rows))
    stream.seek(length_of_codes)
    stream.write(struct.pack("<Q", rows * row_bytes(M, nbits)))
    return rows


def _write_headers(stream: BinaryIO, quantizer: Quantizer, D: int) -> list[int]:
    """The map of ids, what is done to a vector before it is encoded, and the head of the codes.

    Returns the places where the number of rows has to be filled in."""
    metric_type = L2 if quantizer.metric == "l2" else INNER_PRODUCT
    counts: list[int] = []

    def header(code: bytes) -> None:
        stream.write(code + struct.pack("<i", D))
        counts.append(stream.tell())
        stream.write(struct.pack("<qqqBi", 0, 1 << 20, 1 << 20, 1, metric_type))

    header(b"IxM2")
    chain = []
    if quantizer.metric == "cosine":
        chain.append(b"VNrm" + struct.pack("<f", 2.0))
    if isinstance(quantizer, OPQ):
        assert quantizer.R is not None
        matrix = np.ascontiguousarray(quantizer.R.T, dtype="<f4").tobytes()
        chain.append(b"LTra" + struct.pack("<BQ", 0, D * D) + matrix + struct.pack("<Q", 0))
    if chain:
        header(b"IxPT")
        stream.write(struct.pack("<i", len(chain)))
        for transform in chain:
            stream.write(transform + struct.pack("<iiB", D, D, 1))
    header(b"IxPq")
    return counts
