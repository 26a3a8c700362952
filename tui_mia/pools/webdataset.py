"""WebDataset tars: consecutive members whose names agree up to the first dot are one sample."""

from __future__ import annotations

import gzip
import io
import math
import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import BinaryIO, Final, cast

from tui_mia.pools.fields import quote, storable
from tui_mia.pools.files import image_extensions, limit_bytes, too_large
from tui_mia.pools.found import Content, Found, UnusableError
from tui_mia.pools.pair import Shard
from tui_mia.pools.sidecars import content_of, image_of, text_extensions
from tui_mia.spec import PoolSpec
from tui_mia.storage import Location, StorageError

# Directory, name up to the first dot, extension: webdataset's own rule.
_MEMBER_NAME = re.compile(r"(?:\./)*((?:.*/)?[^/.]+)\.([^/]*)", re.DOTALL)

# Long names and the like come in headers of their own, which are read whole.
HEADER_LIMIT_BYTES: Final = 2**20
FILES_A_SAMPLE: Final = 1000
# Pictures hardly shrink; what unpacks to more is made to fill a memory or a day.
MOST_TIMES_UNPACKED: Final = 50
ALWAYS_UNPACKED_BYTES: Final = 2**30

_EXTENDED_HEADERS: Final = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}


@dataclass(slots=True)
class _Sample:
    """The members read so far of one key, and what is wrong with them, if anything."""

    key: str
    files: dict[str, bytes] = field(default_factory=dict)
    extensions: set[str] = field(default_factory=set)
    problem: str = ""

    def load(self, spec: PoolSpec) -> Content:
        if self.problem:
            raise UnusableError(self.problem)
        return content_of(self.files, self.extensions, spec)

    def image(self, spec: PoolSpec) -> bytes:
        if self.problem:
            raise UnusableError(self.problem)
        return image_of(self.files, self.extensions, spec)


class _Member(tarfile.TarInfo):
    """A member whose extended headers are of a size that a header can have."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED_HEADERS and self.size > HEADER_LIMIT_BYTES:
            most = HEADER_LIMIT_BYTES
            raise tarfile.ReadError(f"a header of {self.size:,} bytes; at most {most:,} are read")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


class _NoEndMarkerError(Exception):
    """The tar ends after a whole member, but not with the blocks of zeros that it should end with."""


def read_tar(shard: Shard, spec: PoolSpec) -> Iterator[Found]:
    """Stream the samples of a tar, holding one of them at a time.

    Raises:
        UnusableError: after the last good sample, where the tar is damaged or cut off.
        OSError: if the file can't be opened.
    """
    with shard.path.open("rb") as file, _unpacked(file) as content:
        try:
            for sample in _samples(content, spec):
                yield Found(storable(sample.key), file.tell(), partial(sample.load, spec))
        except (UnusableError, _NoEndMarkerError) as damage:
            raise UnusableError(f"tar ends early after {file.tell():,} bytes: {damage}") from damage


def list_samples(path: Location) -> Iterator[tuple[str, int]]:
    """The key of every sample of a tar, and the byte of the unpacked tar at which it begins.

    Raises:
        UnusableError: after the last good sample, where the tar is damaged or cut off.
        OSError: if the file can't be opened.
    """
    with path.open("rb") as file, _unpacked(file) as content:
        before = ""
        try:
            for _, member in _members(content):
                name = _member_name(member)
                if name is not None and name[0] != before:
                    before = name[0]
                    yield storable(before), member.offset
        except _NoEndMarkerError:
            return
        except StorageError:
            raise
        except Exception as damage:
            raise UnusableError(f"tar ends early after {file.tell():,} bytes: {damage}") from damage


def read_image(path: Location, offset: int, spec: PoolSpec) -> bytes:
    """The image of the sample that begins at a byte which `list_samples` gave.

    Raises:
        UnusableError: where there is no image, or none that is read.
        OSError: if the file can't be opened.
    """
    with path.open("rb") as file, _unpacked(file) as content:
        try:
            sample = next(_samples(content, spec, offset))
        except (StopIteration, _NoEndMarkerError):
            raise UnusableError("the tar ends before it") from None
    return sample.image(spec)


def _unpacked(file: BinaryIO) -> BinaryIO:
    """The file itself, or what is in it if it is compressed, whatever its name says."""
    magic = file.read(2)
    file.seek(0)
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if magic == b"\x1f\x8b" else file


def _samples(file: BinaryIO, spec: PoolSpec, start: int = 0) -> Iterator[_Sample]:
    images = image_extensions(spec)
    wanted = {*images, *text_extensions(spec)}
    sample = _Sample("")
    try:
        for archive, member in _members(file, start):
            name = _member_name(member)
            if name is None:
                continue
            key, extension = name
            if key != sample.key:
                if sample.key:
                    yield sample
                sample = _Sample(key)
            if len(sample.extensions) == FILES_A_SAMPLE:
                sample.problem = f"more than {FILES_A_SAMPLE:,} files under one key"
                continue
            if extension in wanted:
                _take(archive, member, extension, limit_bytes(extension, images), sample)
            sample.extensions.add(extension)
    except _NoEndMarkerError:
        if sample.key:
            yield sample
        raise
    except StorageError:
        raise
    # tarfile and the decompressor meet damage with nearly any exception there is.
    except Exception as damage:
        lost = f"; the sample {quote(sample.key)} may be incomplete and is left out" if sample.key else ""
        raise UnusableError(f"{damage}{lost}") from damage
    if sample.key:
        yield sample


def _member_name(member: tarfile.TarInfo) -> tuple[str, str] | None:
    """The key and the extension of a member; None for what belongs to no sample."""
    name = _MEMBER_NAME.fullmatch(member.name)
    return None if name is None or member.isdir() else (name[1], name[2].lower())


def _take(
    archive: tarfile.TarFile, member: tarfile.TarInfo, extension: str, limit: int, sample: _Sample
) -> None:
    """Read one member into `sample`, or note why it can't be."""
    if extension in sample.extensions:
        sample.problem = f"two members .{extension} under one key"
    elif not member.isreg():
        sample.problem = f"{quote(member.name)} is a link or a device, not a regular file"
    elif member.issparse():
        # A few bytes of it can stand for as many as the limit.
        sample.problem = f"{quote(member.name)} is sparse, which pictures are not"
    elif member.size > limit:
        sample.problem = too_large(member.name, member.size, limit)
    else:
        # Not by `extractfile`: making and closing its reader swallows what Python code raises, Ctrl+C too.
        file = archive.fileobj
        assert file is not None, "the archive is open"
        file.seek(member.offset_data)
        content = file.read(member.size)
        if len(content) < member.size:
            raise tarfile.ReadError("unexpected end of data")
        sample.files[extension] = content


def _members(file: BinaryIO, start: int = 0) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """The archive and each of its members from a byte on, up to the end marker; anything else raises.

    `TarFile.next` would take a broken header for the end of the archive, and
    keeps every member in a list.
    """
    most = _most_unpacked(file)
    with tarfile.TarFile(
        fileobj=file, encoding="utf-8", errors="surrogateescape", tarinfo=_Member
    ) as archive:
        # Opening has read the first header already: start over.
        archive.offset = start
        while True:
            start = archive.offset
            if start > most:
                raise tarfile.ReadError(f"it unpacks to over {most:,} bytes; unpack it to have it read")
            # Going back even a byte would unpack a compressed file again from its beginning.
            if start != file.tell():
                file.seek(max(start - 1, 0))
                if start and not file.read(1):
                    raise tarfile.ReadError("unexpected end of data")
            try:
                member = _Member.fromtarfile(archive)
            except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
                return
            except tarfile.EmptyHeaderError:  # type: ignore[attr-defined]
                raise _NoEndMarkerError("no end marker; the file may be cut off") from None
            if member.size < 0 or archive.offset <= start:
                raise tarfile.ReadError("a header has a negative size")
            yield archive, member


def _most_unpacked(file: BinaryIO) -> float:
    """To how many bytes a compressed tar is unpacked; asked before any of it is."""
    if not isinstance(file, gzip.GzipFile):
        return math.inf
    packed = cast(BinaryIO, file.fileobj)
    before = packed.tell()
    size = packed.seek(0, io.SEEK_END)
    packed.seek(before)
    return max(ALWAYS_UNPACKED_BYTES, MOST_TIMES_UNPACKED * size)
