"""File systems of fsspec, made in the process that uses them, and single requests to them.

A file is read in one request that brings its stamp along. fsspec's own calls drop the headers of an
answer, so for the stores that say in them what version they sent, the request is made here.
"""

import functools
import os
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

import fsspec
from fsspec.asyn import sync
from fsspec.core import url_to_fs

from transforms.storage.urls import FileStamp, local_path

PIECE_BYTES = 1 << 25
_SLOWEST_ANSWER_S = 120.0
_PARTS_AT_ONCE = 2
_VERSION_MARKS = (
    "generation", "ETag", "etag", "CRC", "crc32c", "mtime", "LastModified", "Last-Modified", "created"
)  # fmt: skip

Span = tuple[int, int] | None


@functools.cache
def _file_system(prefix: str, process: int) -> Any:
    """One file system object per prefix and process: clients do not survive a fork."""
    del process
    options: dict[str, Any] = {}
    if prefix.startswith(("gs://", "gcs://")):
        import aiohttp

        options["requests_timeout"] = aiohttp.ClientTimeout(total=_SLOWEST_ANSWER_S)
    return url_to_fs(prefix, use_listings_cache=False, **options)[0]


def forget_clients() -> None:
    """Forgets file systems made so far; later ones see the environment as it is then."""
    _file_system.cache_clear()


def resolve(url: str) -> tuple[Any, str]:
    """Returns the file system of a URL and the path in it."""
    path = local_path(url)
    if path is not None:
        return _file_system("/", os.getpid()), os.path.abspath(path)
    if "::" in url:
        return cast(tuple[Any, str], url_to_fs(url))
    protocol, _, inner = url.partition("://")
    prefix = f"{protocol}://{inner.split('/', 1)[0]}/"
    stripped = fsspec.get_filesystem_class(protocol)._strip_protocol(url)
    return _file_system(prefix, os.getpid()), cast(str, stripped)


def kind_of(system: Any) -> str:
    """Returns ``gs``, ``s3`` or ``http`` for the stores that are known here, and else nothing."""
    names = {system.protocol} if isinstance(system.protocol, str) else set(system.protocol)
    return next((kind for kind in ("gs", "s3", "http") if kind in names), "")


def stamp_of(info: Mapping[str, Any]) -> FileStamp | None:
    """Returns the stamp in what a file system tells of a path; None for a folder."""
    if info["type"] == "directory":
        return None
    mark = next((info[mark] for mark in _VERSION_MARKS if info.get(mark)), "")
    version = str(mark.timestamp() if isinstance(mark, datetime) else mark)
    return FileStamp(int(info.get("size") or 0), version.strip('"'))


def ask_stamp(url: str) -> FileStamp | None:
    """Asks for the stamp of a remote file, in one request; None for a folder.

    Raises FileNotFoundError, also for the folders of stores that have none, and whatever the file system
    raises.
    """
    system, inner = resolve(url)
    kind = kind_of(system)
    if kind == "gs":
        bucket, key, _ = system.split_path(inner)
        return stamp_of(system.call("GET", "b/{}/o/{}", bucket, key, json_out=True) | {"type": "file"})
    if kind == "s3":
        bucket, key, _ = system.split_path(inner)
        answer = system.call_s3("head_object", Bucket=bucket, Key=key)
        return FileStamp(int(answer["ContentLength"]), answer["ETag"].strip('"'))
    return stamp_of(system.info(inner))


def fetch(url: str, span: Span = None) -> tuple[bytes, FileStamp]:
    """Reads a remote file, or some of its bytes, in one request, and tells the stamp of what was read.

    Args:
        url: the file.
        span: first byte and the one after the last; it may end beyond the file, but not begin there.

    Raises whatever the file system raises.
    """
    system, inner = resolve(url)
    ask = {"gs": _fetch_gs, "s3": _fetch_s3, "http": _fetch_http}.get(kind_of(system), _fetch_any)
    return ask(system, inner, span)


def _range(span: Span) -> dict[str, str]:
    return {} if span is None else {"Range": f"bytes={span[0]}-{span[1] - 1}"}


def _fetch_gs(system: Any, path: str, span: Span) -> tuple[bytes, FileStamp]:
    headers, data = system.call("GET", system.url(path), headers=_range(span))
    return data, _stamp_from(headers, data)


def _fetch_s3(system: Any, path: str, span: Span) -> tuple[bytes, FileStamp]:
    async def ask() -> tuple[bytes, FileStamp]:
        bucket, key, _ = system.split_path(path)
        answer = await system._call_s3("get_object", Bucket=bucket, Key=key, **_range(span))
        try:
            data = await answer["Body"].read()
        finally:
            answer["Body"].close()
        return data, _stamp_from(answer["ResponseMetadata"]["HTTPHeaders"], data)

    return cast(tuple[bytes, FileStamp], sync(system.loop, ask))


def _fetch_http(system: Any, path: str, span: Span) -> tuple[bytes, FileStamp]:
    async def ask() -> tuple[bytes, FileStamp]:
        session = await system.set_session()
        headers = {"Accept-Encoding": "identity"} | _range(span)
        async with session.get(system.encode_url(path), headers=headers) as answer:
            if answer.status == 404:
                raise FileNotFoundError(path)
            answer.raise_for_status()
            data = await answer.read()
            stamp = _stamp_from(answer.headers, data)
            whole = span is not None and answer.status != 206
        return (data[slice(*span)] if whole and span else data), stamp

    return cast(tuple[bytes, FileStamp], sync(system.loop, ask))


def _fetch_any(system: Any, path: str, span: Span) -> tuple[bytes, FileStamp]:
    stamp = stamp_of(system.info(path))
    if stamp is None:
        raise IsADirectoryError(path)
    start, end = span or (None, None)
    return system.cat_file(path, start=start, end=end), stamp


def _stamp_from(headers: Mapping[str, str], data: bytes) -> FileStamp:
    """Returns the stamp that the headers of an answer tell."""
    found = {name.lower(): value for name, value in headers.items()}
    total = found.get("content-range", "").rpartition("/")[2]
    version = next(
        (found[mark] for mark in ("x-goog-generation", "etag", "last-modified") if mark in found), ""
    )
    return FileStamp(int(total) if total.isdigit() else len(data), version.strip('"'))


def put_bytes(url: str, data: bytes, *, create: bool = False) -> None:
    """Writes a remote file, which appears whole.

    Raises FileExistsError, if ``create`` and it is there, and whatever the file system raises.
    """
    system, inner = resolve(url)
    system.pipe_file(inner, data, **({"mode": "create"} if create else {}))


def put_file(url: str, local: str) -> None:
    """Copies a local file to a remote one, which appears whole; at most some 64 MiB are in memory.

    Raises whatever the file system raises.
    """
    system, inner = resolve(url)
    options: dict[str, dict[str, int]] = {
        "gs": {"chunksize": PIECE_BYTES},
        "s3": {"chunksize": PIECE_BYTES, "max_concurrency": _PARTS_AT_ONCE},
    }
    system.put_file(local, inner, **options.get(kind_of(system), {}))


def remove_unfinished_uploads(url: str) -> None:
    """Aborts uploads in parts to anywhere below a folder of an S3 bucket that nobody finished.

    They are invisible, and paid for. Other stores drop theirs by themselves. Raises whatever the file
    system raises.
    """
    system, inner = resolve(url)
    if kind_of(system) != "s3":
        return
    bucket, key, _ = system.split_path(inner)
    found = system.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=f"{key}/" if key else "")
    for upload in found.get("Uploads", ()):
        system.abort_mpu(bucket, upload["Key"], upload["UploadId"])
