"""What the beginning of a FLAC file says of it, without a library that sets up a decoder for that.

A corpus has a hundred thousand such headers, and opening each with libsndfile costs five times as
much as reading the few bytes that matter. Only what is plainly in order is answered here; of all
else libsndfile decides, and says what is wrong.

The format is that of RFC 9639, sections 8 (metadata blocks, STREAMINFO) and 9.1 (frame headers).
"""

from dataclasses import dataclass

BEGINNING_BYTES = 1 << 14

_MARKER = b"fLaC"
_BLOCK_HEADER_BYTES = 4
_STREAMINFO, _STREAMINFO_BYTES = 0, 34
_LAST = 0x80
# Of other kinds of blocks it depends on what is in them whether a decoder takes the file.
_PADDING, _SEEK_TABLE, _COMMENTS = 1, 3, 4
_HARMLESS = (_PADDING, _SEEK_TABLE)
_FRAME_STARTS = (b"\xff\xf8", b"\xff\xf9")
_SUBTYPES = {8: "PCM_S8", 16: "PCM_16", 24: "PCM_24"}
_SHORTEST_BLOCK_SAMPLES = 16
_HIGHEST_RATE_HZ = 192_000


@dataclass(frozen=True, slots=True)
class FlacInfo:
    """What a FLAC file is: rate, channels, samples per channel, and the encoding as libsndfile names it."""

    rate_hz: int
    channels: int
    frames: int
    subtype: str


def flac_info(beginning: bytes) -> FlacInfo | None:
    """Reads the header of a FLAC file.

    Args:
        beginning: its first bytes, ``BEGINNING_BYTES`` of them if it has so many.

    Returns:
        What the file is; None where it is no FLAC file, does not say how long it is, or has anything
        unusual before its first frame.
    """
    start = len(_MARKER) + _BLOCK_HEADER_BYTES
    first = beginning[len(_MARKER) : start]
    expected = (_STREAMINFO, _STREAMINFO_BYTES)
    if not beginning.startswith(_MARKER) or _kind_and_length(first) != expected:
        return None
    if not _frames_follow(beginning, start + _STREAMINFO_BYTES, is_last=bool(first[0] & _LAST)):
        return None
    return _stream_info(beginning[start : start + _STREAMINFO_BYTES])


def _kind_and_length(header: bytes) -> tuple[int, int]:
    """Returns kind and length of a metadata block, given its header; -1 for both without one."""
    if len(header) < _BLOCK_HEADER_BYTES:
        return -1, -1
    return header[0] & ~_LAST, int.from_bytes(header[1:], "big")


def _frames_follow(beginning: bytes, place: int, *, is_last: bool) -> bool:
    """Tells whether harmless metadata blocks lead from a place to the first frame."""
    while not is_last:
        header = beginning[place : place + _BLOCK_HEADER_BYTES]
        kind, length = _kind_and_length(header)
        place += _BLOCK_HEADER_BYTES
        if kind not in _HARMLESS and not (
            kind == _COMMENTS and _are_comments(beginning[place : place + length])
        ):
            return False
        is_last = bool(header[0] & _LAST)
        place += length
    return beginning[place : place + 2] in _FRAME_STARTS


def _are_comments(block: bytes) -> bool:
    """Tells whether a block holds a vendor and comments whose lengths fill it exactly."""
    place = 4 + int.from_bytes(block[:4], "little")
    count = int.from_bytes(block[place : place + 4], "little")
    place += 4
    for _ in range(min(count, len(block))):
        place += 4 + int.from_bytes(block[place : place + 4], "little")
    return count <= len(block) and place == len(block)


def _stream_info(block: bytes) -> FlacInfo | None:
    """Returns what the block STREAMINFO says; None where it is unusual."""
    shortest, longest = int.from_bytes(block[:2], "big"), int.from_bytes(block[2:4], "big")
    packed = int.from_bytes(block[10:18], "big")
    rate_hz, channels = packed >> 44, (packed >> 41 & 0x7) + 1
    subtype = _SUBTYPES.get((packed >> 36 & 0x1F) + 1)
    frames = packed & 0xFFFFFFFFF
    usual = _SHORTEST_BLOCK_SAMPLES <= shortest <= longest and 0 < rate_hz <= _HIGHEST_RATE_HZ
    if not usual or subtype is None or not frames:
        return None
    return FlacInfo(rate_hz, channels, frames, subtype)
