"""Single files, local or in a store: their stamps, their bytes, and handles that read them by ranges."""

import io
import os
import stat
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from transforms.errors import StorageError
from transforms.storage import clients
from transforms.storage.clients import Span
from transforms.storage.failures import attempt, is_beyond_end
from transforms.storage.urls import FileStamp, local_path

HEADER_BLOCK_BYTES = 1 << 16
_KEPT_BLOCKS = 4

Fetch = Callable[[int, int], tuple[bytes, FileStamp]]


def stamp_of_file(url: str) -> FileStamp | None:
    """Returns the stamp of a file; None for a folder and where nothing is. Raises as ``attempt`` does."""

    def ask() -> FileStamp | None:
        path = local_path(url)
        try:
            if path is not None:
                return _local_stamp(os.stat(path))
            return clients.ask_stamp(url)
        except (FileNotFoundError, NotADirectoryError):
            return None

    return attempt(url, ask)


def _local_stamp(status: os.stat_result) -> FileStamp | None:
    if stat.S_ISDIR(status.st_mode):
        return None
    return FileStamp(status.st_size, str(status.st_mtime_ns))


def read_span(url: str, span: Span = None) -> tuple[bytes, FileStamp]:
    """Reads a file, or some of its bytes, with the stamp of what was read: of a store in one request.

    Raises as ``attempt`` does.
    """
    path = local_path(url)
    if path is None:
        return attempt(url, lambda: _fetch(url, span))

    def read() -> tuple[bytes, FileStamp]:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if span is None:
                data = file.read()
            else:
                file.seek(span[0])
                data = file.read(span[1] - span[0])
        return data, FileStamp(status.st_size, str(status.st_mtime_ns))

    return attempt(url, read)


def _fetch(url: str, span: Span) -> tuple[bytes, FileStamp]:
    """Does what ``clients.fetch`` does, also at the beginning of an empty file: no range can be had of it."""
    try:
        return clients.fetch(url, span)
    except Exception as error:
        if span is None or span[0] or not is_beyond_end(error):
            raise
        return clients.fetch(url)


class RangeFile(io.RawIOBase):
    """A file that is read by blocks, the last few of which are kept.

    Args:
        url: what it is, for messages.
        fetch: reads the bytes from one place to before another.
        size_bytes: length of the file; None to learn it by reading the first block.
        block_bytes: how much is read at once.

    Attributes:
        stamp: of the file, once some of it was read.
        size_bytes: length of the file.
        silent: let a failure look like the end of the file, for libraries that cannot bear exceptions;
            closing the file raises the first one, always.

    Raises:
        MixtapeError: reading failed, or the file was replaced meanwhile.
    """

    def __init__(
        self, url: str, fetch: Fetch, *, size_bytes: int | None = None, block_bytes: int = HEADER_BLOCK_BYTES
    ) -> None:
        super().__init__()
        self._url = url
        self._fetch = fetch
        self._block_bytes = block_bytes
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._place = 0
        self._failure: Exception | None = None
        self.silent = False
        self.stamp: FileStamp | None = None
        self.size_bytes = 0 if size_bytes is None else size_bytes
        if size_bytes is None:
            self._blocks[0], self.stamp = fetch(0, block_bytes)
            self.size_bytes = self.stamp.size_bytes

    def readable(self) -> bool:
        """Tells that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tells that any place of it can be read."""
        return True

    def tell(self) -> int:
        """Returns the place that is read next."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Goes to a place, which may be beyond the end."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self.size_bytes}[whence]
        self._place = max(0, start + offset)
        return self._place

    def readinto(self, buffer: Any) -> int:
        """Fills a buffer as far as the file reaches."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), max(0, self.size_bytes - self._place))
        done = 0
        while done < wanted:
            number, skip = divmod(self._place, self._block_bytes)
            piece = self._block(number)[skip : skip + wanted - done]
            if not piece:
                break
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._place += len(piece)
        return done

    def _block(self, number: int) -> bytes:
        if number in self._blocks:
            self._blocks.move_to_end(number)
            return self._blocks[number]
        try:
            self._blocks[number] = self._read_block(number)
        except Exception as error:
            self._failure = self._failure or error
            if self.silent:
                return b""
            raise
        if len(self._blocks) > _KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        return self._blocks[number]

    def _read_block(self, number: int) -> bytes:
        start = number * self._block_bytes
        end = min(start + self._block_bytes, self.size_bytes)
        data, stamp = self._fetch(start, end)
        self.stamp = self.stamp or stamp
        if stamp != self.stamp or len(data) != end - start:
            raise StorageError(self._url, "was replaced while it was read; run the same command again")
        return data

    def close(self) -> None:
        """Closes it, and raises what reading it raised first."""
        super().close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure


def open_ranges(url: str, *, block_bytes: int = HEADER_BLOCK_BYTES) -> RangeFile:
    """Returns a handle that reads a file by ranges, its first block at once. Raises as ``attempt`` does."""

    def fetch(start: int, end: int) -> tuple[bytes, FileStamp]:
        return read_span(url, (start, end))

    return RangeFile(url, fetch, block_bytes=block_bytes)
