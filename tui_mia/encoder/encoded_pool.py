"""A pool read back from its parts."""

from __future__ import annotations

from collections.abc import Sequence
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

_APPEARANCE = ["caption", "image_form", "image_statistics", "perceptual_hash"]


@dataclass(frozen=True)
class PoolAppearances:
    """What n samples look like without any model: captions, and of images what `appearance` says.

    `form` is [n, F] and `statistics` [n, S] float32, `perceptual_hashes` [n] uint64.
    """

    captions: list[str]
    form: NDArray[np.float32]
    statistics: NDArray[np.float32]
    perceptual_hashes: NDArray[np.uint64]


class EncodedPool:
    """A pool read from its parts: ids and similarities in memory, embeddings from disk when asked for.

    `model` is whose similarities and embeddings these are; the rows are the same for both.
    """

    def __init__(self, paths: Sequence[Path], model: SeenBy = "target") -> None:
        self.paths = [path for path in paths if pq.read_metadata(path).num_rows]
        self._prefix = PREFIX[model]
        similarities = f"{self._prefix}similarities"
        columns = [pq.read_table(path, columns=["sample_id", similarities]) for path in self.paths]
        self._starts = np.cumsum([0, *(table.num_rows for table in columns)])
        self.sample_ids = pa.chunked_array(
            [chunk for table in columns for chunk in table["sample_id"].chunks], pa.string()
        )
        self.similarities = (
            np.concatenate([matrix_of(table[similarities]) for table in columns])
            if columns
            else np.empty((0, 1), dtype=np.float32)
        )
        self._read: tuple[int, NDArray[np.float32], NDArray[np.float32]] | None = None

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        return np.concatenate([sample_keys(chunk.to_pylist()) for chunk in self.sample_ids.chunks])

    @cached_property
    def image_keys(self) -> NDArray[np.uint64]:
        return np.concatenate([image_keys(chunk.to_pylist()) for chunk in self.sample_ids.chunks])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def take(self, rows: NDArray[np.int64]) -> Block:
        """The samples at `rows`, in that order; each part is read once."""
        dimension = pq.read_schema(self.paths[0]).field(self._image).type.list_size
        image = np.empty((len(rows), dimension), dtype=np.float32)
        text = np.empty_like(image)
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        for part in np.unique(part_of):
            inside = part_of == part
            part_image, part_text = self._embeddings(int(part))
            image[inside] = part_image[rows[inside] - self._starts[part]]
            text[inside] = part_text[rows[inside] - self._starts[part]]
        return Block(self.similarities[rows], image, text)

    def appearances(self, rows: NDArray[np.int64]) -> PoolAppearances:
        """What the samples at `rows` look like, in that order; each part is read once."""
        form = np.empty((len(rows), len(FORM_NAMES)), dtype=np.float32)
        statistics = np.empty((len(rows), len(STATISTICS_NAMES)), dtype=np.float32)
        hashes = np.empty(len(rows), dtype=np.uint64)
        captions = np.empty(len(rows), dtype=np.object_)
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        for part in np.unique(part_of):
            inside = part_of == part
            table = pq.read_table(self.paths[part], columns=_APPEARANCE).take(
                rows[inside] - self._starts[part]
            )
            captions[inside] = table["caption"].to_pylist()
            form[inside] = matrix_of(table["image_form"])
            statistics[inside] = matrix_of(table["image_statistics"])
            hashes[inside] = table["perceptual_hash"].to_numpy()
        return PoolAppearances(captions.tolist(), form, statistics, hashes)

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
