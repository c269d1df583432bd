"""Members of archives and where their bytes are: tables of plain tar, zip, and folders of packed shards.

With such a table any number of threads read members by ranges and share no handle. (fsspec's tar file
system mixes up threads that share it.) Formats: POSIX tar in all its dialects that Python reads; zip with
members that are stored or deflated; packed shards as ``transforms.archives`` writes them.
"""

import csv
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import BinaryIO

from transforms.errors import UsageError
from transforms.storage.urls import OWN_FOLDER, FileStamp

PACK_TABLE = f"{OWN_FOLDER}/members.csv"
PACK_COLUMNS = ("path", "shard", "offset_bytes", "size_bytes", "crc32c")
PACK_ADVICE = "pack it once with `mixtape pack URL --out URL`, and give the folder that this makes"
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_COMPRESSED = {b"\x1f\x8b": "gzip", b"BZ": "bzip2", b"\xfd7": "xz", b"(\xb5": "zstd"}


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive.

    Attributes:
        start: first byte of it in the archive; of a zip archive, of its local header.
        end: the byte after its last one; of a zip archive, where the next header begins.
        size_bytes: its length when unpacked.
        version: what tells it from another content under the same name; empty if the archive holds nothing
            of the kind.
        shard: the file below the archive's URL that holds it; empty where that is the archive itself.
        deflated: bytes in the archive when deflated, else None.
    """

    start: int
    end: int
    size_bytes: int
    version: str = ""
    shard: str = ""
    deflated: int | None = None

    def stamp(self, archive: FileStamp) -> FileStamp:
        """Returns the member's stamp, given the archive's."""
        return FileStamp(self.size_bytes, self.version or f"{archive.version}@{self.start}")


Table = Mapping[str, Member]


def clean(name: str) -> str:
    """Returns a member's name as a relative path: without ``./`` before it and ``/`` after it."""
    return name.removeprefix("./").strip("/")


def tar_table(file: BinaryIO, url: str) -> Table:
    """Reads the table of a plain tar archive, header by header.

    Raises:
        UsageError: it is compressed, so that its members cannot be read at random.
        tarfile.TarError: it is no tar archive, or damaged.
    """
    magic = file.read(2)
    if magic in _COMPRESSED:
        raise UsageError(f"{url}: is a tar archive compressed with {_COMPRESSED[magic]}; {PACK_ADVICE}")
    file.seek(0)
    table: dict[str, Member] = {}
    with tarfile.open(fileobj=file, mode="r:") as archive:
        for info in archive:
            if info.isreg():
                end = info.offset_data + info.size
                table[clean(info.name)] = Member(info.offset_data, end, info.size)
            elif info.islnk() and clean(info.linkname) in table:
                table[clean(info.name)] = table[clean(info.linkname)]
        file.seek(archive.offset)
    if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("it has no end mark, as when it was cut short")
    return table


def zip_table(file: BinaryIO, url: str) -> Table:
    """Reads the table of a zip archive from its central directory.

    Raises:
        UsageError: members are encrypted, or compressed by another way than deflate.
        zipfile.BadZipFile: it is no zip archive, or damaged.
    """
    with zipfile.ZipFile(file) as archive:
        infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
        ends = [info.header_offset for info in infos[1:]] + [archive.start_dir]
    files = [(info, end) for info, end in zip(infos, ends, strict=True) if not info.is_dir()]
    for info, _ in files:
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UsageError(
                f"{url}: member {info.filename} is encrypted or compressed in a way that is not read here; "
                "unpack the archive, or zip it again with deflate or without compression"
            )
    return {
        clean(info.filename): Member(
            start=info.header_offset,
            end=end,
            size_bytes=info.file_size,
            version=f"{info.CRC:08x}",
            deflated=info.compress_size if info.compress_type == zipfile.ZIP_DEFLATED else None,
        )
        for info, end in files
    }


def pack_table(data: bytes, url: str) -> Table:
    """Reads the table of a folder of packed shards. Raises UsageError when it is none of ours."""
    rows = csv.reader(io.StringIO(data.decode(), newline=""))
    if tuple(next(rows, ())) != PACK_COLUMNS:
        raise UsageError(f"{url}: wanted the columns {', '.join(PACK_COLUMNS)}; pack the archive again")
    return {
        path: Member(int(start), int(start) + int(size), int(size), crc, shard)
        for path, shard, start, size, crc in rows
    }


def unzipped(data: bytes, member: Member, *, at_most_bytes: int = 0) -> bytes:
    """Returns a member of a zip archive from the bytes that begin with its header.

    Args:
        data: all bytes up to the next header; fewer will do where fewer are wanted of it.
        member: which member.
        at_most_bytes: how much of its beginning is wanted; 0 for all of it, which is then checked.

    Raises ValueError where they do not hold it.
    """
    magic, name_bytes, extra_bytes = _LOCAL_HEADER.unpack_from(data.ljust(_LOCAL_HEADER.size, b"\0"))
    if magic != b"PK\x03\x04":
        raise ValueError("is not where the directory of the zip archive says; fetch the archive again")
    start = _LOCAL_HEADER.size + name_bytes + extra_bytes
    if member.deflated is None:
        found = data[start : start + (at_most_bytes or member.size_bytes)]
    else:
        try:
            inflate = zlib.decompressobj(-zlib.MAX_WBITS)
            found = inflate.decompress(data[start : start + member.deflated], at_most_bytes)
        except zlib.error as error:
            raise ValueError(f"is damaged in the zip archive ({error}); fetch the archive again") from error
    if not at_most_bytes and (
        len(found) != member.size_bytes or f"{zlib.crc32(found):08x}" != member.version
    ):
        raise ValueError("is damaged in the zip archive: its checksum differs; fetch the archive again")
    return found


def folders_of(table: Iterable[str]) -> frozenset[str]:
    """Returns every folder that members are in, at any depth; ``""`` is the archive itself."""
    folders = {""}
    for path in table:
        above = path.rpartition("/")[0]
        while above not in folders:
            folders.add(above)
            above = above.rpartition("/")[0]
    return frozenset(folders)
