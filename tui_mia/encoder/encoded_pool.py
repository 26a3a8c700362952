"""A pool read back from its parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tui_mia.embedded import Block
from tui_mia.encoder.appearance import FORM_NAMES, STATISTICS_NAMES
from tui_mia.encoder.parts import PREFIX, SeenBy, image_keys, matrix_of, sample_keys

# Of a pool without a usable pair there is nothing to put together.
_NO_KEYS = np.empty(0, np.uint64)
_APPEARANCE = ["caption", "image_form", "image_statistics"]


@dataclass(frozen=True)
class PoolAppearances:
    """What n samples look like without any model: captions, and of images what `appearance` says.

    `form` is [n, F] and `statistics` [n, S] float32.
    """

    captions: list[str]
    form: NDArray[np.float32]
    statistics: NDArray[np.float32]


class EncodedPool:
    """A pool read from its parts: ids and similarities in memory, embeddings from disk when asked for.

    `model` is whose similarities and embeddings these are; the rows are the same for both.
    """

    def __init__(self, paths: Sequence[Path], model: SeenBy = "target") -> None:
        self.paths = [path for path in paths if pq.read_metadata(path).num_rows]
        self._prefix = PREFIX[model]
        name = f"{self._prefix}similarities"
        self._starts = np.cumsum([0, *(pq.read_metadata(path).num_rows for path in self.paths)])
        views = pq.read_schema(self.paths[0]).field(name).type.list_size if self.paths else 1
        self.similarities = np.empty((len(self), views), dtype=np.float32)
        ids: list[pa.Array] = []
        for path, start in zip(self.paths, self._starts[:-1], strict=True):
            part = pq.read_table(path, columns=["sample_id", name])
            self.similarities[start : start + part.num_rows] = matrix_of(part[name])
            ids += part["sample_id"].chunks
        self.sample_ids = pa.chunked_array(ids, pa.string())
        self._read: tuple[int, NDArray[np.float32], NDArray[np.float32]] | None = None

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        return np.concatenate(
            [_NO_KEYS, *(sample_keys(chunk.to_pylist()) for chunk in self.sample_ids.chunks)]
        )

    @cached_property
    def image_keys(self) -> NDArray[np.uint64]:
        return np.concatenate(
            [_NO_KEYS, *(image_keys(chunk.to_pylist()) for chunk in self.sample_ids.chunks)]
        )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: NDArray[np.int64]) -> Block:
        """The samples at `rows`, in that order; each part is read once."""
        dimension = pq.read_schema(self.paths[0]).field(self._image).type.list_size
        image = np.empty((len(rows), dimension), dtype=np.float32)
        text = np.empty_like(image)
        for part, inside in self._by_part(rows):
            part_image, part_text = self._embeddings(part)
            image[inside] = part_image[rows[inside] - self._starts[part]]
            text[inside] = part_text[rows[inside] - self._starts[part]]
        return Block(self.similarities[rows], image, text)

    def captions(self, rows: NDArray[np.int64]) -> Iterator[list[str]]:
        """The captions of the samples at these ascending `rows`, those of a part at a time."""
        for part, inside in self._by_part(rows):
            table = pq.read_table(self.paths[part], columns=["caption"])
            yield table["caption"].take(rows[inside] - self._starts[part]).to_pylist()

    def perceptual_hashes(self, rows: NDArray[np.int64]) -> NDArray[np.uint64]:
        """The hash of what the image of each of the samples at `rows` looks like: [n]."""
        hashes = np.empty(len(rows), dtype=np.uint64)
        for part, inside in self._by_part(rows):
            column = pq.read_table(self.paths[part], columns=["perceptual_hash"])["perceptual_hash"]
            hashes[inside] = column.to_numpy()[rows[inside] - self._starts[part]]
        return hashes

    def appearances(self, rows: NDArray[np.int64]) -> PoolAppearances:
        """What the samples at `rows` look like, in that order; each part is read once."""
        form = np.empty((len(rows), len(FORM_NAMES)), dtype=np.float32)
        statistics = np.empty((len(rows), len(STATISTICS_NAMES)), dtype=np.float32)
        captions = np.empty(len(rows), dtype=np.object_)
        for part, inside in self._by_part(rows):
            table = pq.read_table(self.paths[part], columns=_APPEARANCE).take(
                rows[inside] - self._starts[part]
            )
            captions[inside] = table["caption"].to_pylist()
            form[inside] = matrix_of(table["image_form"])
            statistics[inside] = matrix_of(table["image_statistics"])
        return PoolAppearances(captions.tolist(), form, statistics)

    def _by_part(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each part that has some of these rows, and the places within `rows` of those it has, in order."""
        if not len(rows):
            return
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(part_of, kind="stable")
        parts, firsts = np.unique(part_of[order], return_index=True)
        yield from zip(parts.tolist(), np.split(order, firsts[1:]), strict=True)

    @property
    def _image(self) -> str:
        return f"{self._prefix}image_embedding"

    @property
    def _text(self) -> str:
        return f"{self._prefix}text_embedding"

    def _embeddings(self, part: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The embeddings of one part; the last one is kept, since blocks in order ask for it again."""
        if self._read is None or self._read[0] != part:
            self._read = None
            table = pq.read_table(self.paths[part], columns=[self._image, self._text])
            self._read = part, matrix_of(table[self._image]), matrix_of(table[self._text])
        return self._read[1], self._read[2]


def block_of(samples: pa.Table, model: SeenBy = "target") -> Block:
    """What a model sees in the rows of a part."""
    names = ("similarities", "image_embedding", "text_embedding")
    return Block(*(matrix_of(samples[PREFIX[model] + name]) for name in names))
