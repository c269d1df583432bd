"""Samples in and out: decoding with every check a source must pass, quantising, WAV headers."""

import functools
import math
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from io import BytesIO
from typing import Any, TypeVar, cast

import numpy as np
import soundfile
from numpy.typing import NDArray

from transforms import storage
from transforms.errors import SourceError, StorageError
from transforms.ledger import crc32c
from transforms.plan import MONO, SPEED_DECIMALS, WHOLE, Source
from transforms.recent import Recent
from transforms.resampling import resample
from transforms.video.containers import is_container, read_whole_audio

Pcm = NDArray[np.int16]
T = TypeVar("T")
WAV_HEADER_BYTES = 44
CONTAINER_RATE_HZ = 16000
CHANGED = "changed"

_MOST_SAMPLES = 1 << 40
_REMEMBERED_BYTES = 64 << 20
_SPH_MAGIC = b"NIST_1A\n"
_SPH_HEADER_BYTES = 1024
_SHORT_DATA = re.compile(r"^data : \d+ \(should be \d+\)", re.MULTILINE)
_READ = "read"
_16_BIT = "PCM_16"
_STEP_16_BIT = np.float32(2.0**-15)


def promises_more_samples(file: soundfile.SoundFile) -> bool:
    """Tells whether the header of a WAV file promises more samples than the file holds."""
    return _SHORT_DATA.search(file.extra_info) is not None


def has_unknown_length(file: soundfile.SoundFile) -> bool:
    """Tells whether the header of a file does not say how many samples follow, as of a stream."""
    return bool(file.frames > _MOST_SAMPLES)


def sph_problem(data: bytes) -> tuple[str, str] | None:
    """Finds what libsndfile does not see or does not say of a NIST SPHERE file.

    Args:
        data: the whole file, of any format.

    Returns:
        What is wrong and what to do about it; None for a good file, and for other formats.
    """
    if not data.startswith(_SPH_MAGIC):
        return None
    lines = data[:_SPH_HEADER_BYTES].decode("latin-1").partition("end_head")[0].splitlines()
    fields = {words[0]: words[2] for words in (line.split(maxsplit=2) for line in lines) if len(words) == 3}
    coding = fields.get("sample_coding", "pcm")
    if "embedded" in coding:
        reason = f"is a SPHERE file with compressed samples ({coding}), which cannot be decoded"
        return reason, "decompress it with the program sph2pipe (sph2pipe -p -f wav IN OUT)"
    counts = [fields.get(name, "") for name in ("sample_count", "sample_n_bytes", "channel_count")]
    if not all(count.isascii() and count.isdigit() for count in counts):
        return None
    frames, sample_bytes, channels = map(int, counts)
    held = max(0, len(data) - _SPH_HEADER_BYTES) // max(1, sample_bytes * channels)
    if held < frames:
        return f"is truncated: {held} of {frames} samples are there", "fetch it again, or plan without it"
    return None


def content_of(data: bytes) -> str:
    """Returns what identifies a file's content: ``size-crc32c``, as object stores list it too."""
    return f"{len(data)}-{crc32c(data):08x}"


@dataclass
class SourceReader:
    """Reads sources of a plan from named roots and remembers what content they had.

    Attributes:
        roots: URL of each root by name.
        rate_hz: the rate that samples are wanted at; None for the rate that each file has.
        any_rate: resample sources of other rates, and apply their speed; else they are refused.
        silence: accept sources whose every sample is zero.
        contents: ``size-crc32c`` of every file read, ``missing``, or ``changed`` where it was one thing and
            then another, by source name.
        stamps: what the store told of each of these files when it was read.
        recent: what was made of whole files lately.
    """

    roots: Mapping[str, str]
    rate_hz: int | None
    any_rate: bool = False
    silence: bool = False
    contents: dict[str, str] = field(default_factory=dict)
    stamps: dict[str, storage.FileStamp] = field(default_factory=dict)
    recent: Recent[Any] = field(
        default_factory=lambda: Recent(_REMEMBERED_BYTES, lambda made: int(made.nbytes))
    )

    def url_of(self, name: str) -> str:
        """Returns the URL of a source, given its name (``root:path``)."""
        root, _, path = name.partition(":")
        return storage.join(self.roots[root], path)

    def content(self, name: str) -> str:
        """Reads a file only to tell its content: ``size-crc32c``, or ``missing``."""
        try:
            return content_of(storage.read_bytes(self.url_of(name)))
        except StorageError:
            return storage.MISSING

    def fetch(self, source: Source) -> bytes:
        """Reads a source's file as it is. Raises SourceError: it is missing or cannot be read."""
        try:
            data, stamp = storage.read_with_stamp(self.url_of(source.name))
        except StorageError as error:
            self.note(source.name, storage.MISSING)
            raise _unusable(source, error.problem, "restore the file or plan without it") from error
        self.note(source.name, content_of(data), stamp)
        return data

    def note(self, name: str, content: str, stamp: storage.FileStamp | None = None) -> None:
        """Remembers what a source held, and with what stamp it was read.

        A source may be replaced between two items that use it. What was made of it then follows from no
        content that it ever has again, so it is noted as ``CHANGED``, and the next run makes it anew.
        """
        if self.contents.setdefault(name, content) != content:
            self.contents[name] = CHANGED
            self.stamps.pop(name, None)
        elif stamp is not None:
            self.stamps[name] = stamp

    def once(self, source: Source, make: Callable[[bytes, str], T]) -> T:
        """Returns what is made of a source's whole file, made once as long as it is remembered.

        Args:
            source: the file.
            make: given its bytes and the source's name, makes a value with a size ``nbytes``; of one
                function always the same comes of the same file.

        Raises:
            SourceError: the file is missing, or ``make`` refuses it.
        """
        key = f"{make.__qualname__} {source.name}"
        return cast(T, self.recent.get(key, lambda: make(self.fetch(source), source.name)))

    def read(self, source: Source, at_most_samples: int = WHOLE) -> NDArray[np.float32]:
        """Decodes a source.

        Args:
            source: what to read.
            at_most_samples: upper limit on what is read, for sources that follow the mixture.

        Returns:
            Shape (n,), float32 in -1..1 (16-bit samples divided by 32768), at ``rate_hz``.

        Raises:
            SourceError: missing, empty, not audio, truncated, silent, or of wrong rate or channels.
        """
        return self.read_with_rate(source, at_most_samples)[0]

    def read_with_rate(self, source: Source, at_most_samples: int = WHOLE) -> tuple[NDArray[np.float32], int]:
        """Does what ``read`` does, and tells the rate in Hz too, for readers that leave it as it is."""
        if is_container(source.path):
            samples, own_hz = self._extract(source, at_most_samples)
        else:
            samples, own_hz = self._decode(source, self.fetch(source), at_most_samples)
        rate_hz = self.rate_hz or own_hz
        end = None if at_most_samples == WHOLE else at_most_samples
        return _played(samples, source.speed, own_hz, rate_hz)[:end], rate_hz

    def _extract(self, source: Source, limit: int) -> tuple[NDArray[np.float32], int]:
        """Takes the sound of a container, decoded as a whole, mixed to mono and resampled."""
        rate_hz = self.rate_hz or CONTAINER_RATE_HZ

        def extract_audio(data: bytes, name: str) -> Pcm:
            return read_whole_audio(data, name, rate_hz=rate_hz)

        pcm = self.once(source, extract_audio)
        self._check_offset(source, len(pcm))
        wanted = self._wanted_samples(source, limit, rate_hz)
        available = len(pcm) - source.offset_samples
        count = available if wanted == WHOLE else min(wanted, available)
        end = source.offset_samples + count
        samples = _full_scale(pcm[source.offset_samples : end])
        self._check_samples(source, samples, count)
        return samples, rate_hz

    def _decode(self, source: Source, data: bytes, limit: int) -> tuple[NDArray[np.float32], int]:
        if not data:
            raise _unusable(source, "the file is empty (0 bytes)", "fetch it again")
        if problem := sph_problem(data):
            raise _unusable(source, *problem)
        try:
            with soundfile.SoundFile(BytesIO(data)) as file:
                self._check_header(source, file)
                wanted = self._wanted_samples(source, limit, file.samplerate)
                if source.offset_samples:
                    file.seek(source.offset_samples)
                available = file.frames - source.offset_samples
                count = available if wanted == WHOLE else min(wanted, available)
                samples = file.read(count, dtype="int16" if file.subtype == _16_BIT else "float32")
        except soundfile.LibsndfileError as error:
            reason = f"is not decodable audio or is damaged ({error.error_string or 'broken stream'})"
            raise _unusable(source, reason, "fetch it again, or plan without it") from error
        mono = _full_scale(samples if samples.ndim == 1 else samples[:, source.channel])
        self._check_samples(source, mono, count)
        return mono, file.samplerate

    def _wanted_samples(self, source: Source, limit: int, own_hz: int) -> int:
        """Returns how many samples to read at the file's own rate, or ``WHOLE``."""
        if source.length_samples != WHOLE or limit == WHOLE:
            return source.length_samples
        if not self.any_rate:
            return limit
        return math.ceil(limit * played_ratio(source.speed, own_hz, self.rate_hz or own_hz)) + 1

    def _check_header(self, source: Source, file: Any) -> None:
        if self.rate_hz not in (None, file.samplerate) and not self.any_rate:
            reason = f"has {file.samplerate} Hz, wanted {self.rate_hz} Hz"
            raise _unusable(source, reason, "resample the corpus to the wanted rate first")
        if source.channel == MONO and file.channels != 1:
            reason = f"has {file.channels} channels, wanted 1"
            raise _unusable(source, reason, "make it mono, or name the channel in the plan")
        if source.channel >= file.channels:
            reason = f"has {file.channels} channels, the plan wants channel {source.channel}"
            raise _unusable(source, reason, "name a channel that is there")
        if has_unknown_length(file):
            raise _unusable(source, "does not say how many samples it holds", "encode it again as a file")
        if file.frames == 0:
            raise _unusable(source, "holds no samples", "fetch it again, or plan without it")
        if promises_more_samples(file):
            raise _unusable(source, "is truncated: its header promises more samples", "fetch it again")
        self._check_offset(source, file.frames)

    def _check_offset(self, source: Source, frames: int) -> None:
        if source.offset_samples >= frames:
            reason = f"has {frames} samples, the plan begins at {source.offset_samples}"
            raise _unusable(source, reason, "plan again with the present files")

    def _check_samples(self, source: Source, samples: NDArray[np.float32], count: int) -> None:
        if len(samples) < count or len(samples) < source.length_samples:
            wanted = max(count, source.length_samples)
            reason = f"is truncated: {len(samples)} of {wanted} samples can be read"
            raise _unusable(source, reason, "fetch it again")
        low, high = samples.min(initial=0), samples.max(initial=0)
        if not self.silence and low == high == 0:
            raise _unusable(source, "is silent: every sample is zero", "replace it, or plan without it")
        if not (np.isfinite(low) and np.isfinite(high)):
            raise _unusable(source, "holds samples that are no finite numbers", "make it again")


def _full_scale(samples: NDArray[Any]) -> NDArray[np.float32]:
    """Brings samples of one channel from 16 bit to -1..1, exactly; others are so already."""
    if samples.dtype == np.int16:
        return np.asarray(np.multiply(samples, _STEP_16_BIT, dtype=np.float32))
    return np.ascontiguousarray(samples)


def played_ratio(speed: float, own_hz: int, to_hz: int) -> Fraction:
    """Returns how many samples at ``own_hz`` make one at ``to_hz`` when played at a speed."""
    return Fraction(own_hz, to_hz) * Fraction(speed).limit_denominator(10**SPEED_DECIMALS)


def _played(samples: NDArray[np.float32], speed: float, own_hz: int, to_hz: int) -> NDArray[np.float32]:
    """Resamples, and changes speed (pitch and tempo), by one polyphase filter."""
    ratio = played_ratio(speed, own_hz, to_hz)
    return cast(NDArray[np.float32], resample(samples, ratio.numerator, ratio.denominator))


def _unusable(source: Source, reason: str, remedy: str) -> SourceError:
    return SourceError(source.name, _READ, reason, remedy)


def quantise_floor(samples: NDArray[Any]) -> Pcm:
    """Converts to 16 bit as libsndfile does with clipping: floor(rint(x * 2^31) / 2^16), limited.

    Args:
        samples: any shape, float32 or float64; full scale is -1..1, beyond it is clipped.

    Returns:
        Same shape, int16.
    """
    from transforms.kernels import floor_to_16_bit

    return _quantised(samples, floor_to_16_bit)


def quantise_round(samples: NDArray[Any]) -> Pcm:
    """Converts to 16 bit by rounding 32768 x half to even, limited (wsj0-mix's rule).

    Args:
        samples: any shape, float32 or float64; full scale is -1..1, beyond it is clipped.

    Returns:
        Same shape, int16.
    """
    from transforms.kernels import round_to_16_bit

    return _quantised(samples, round_to_16_bit)


def quantise_truncate(samples: NDArray[Any]) -> Pcm:
    """Converts to 16 bit by cutting off the fraction of 32767 x, limited (AVSE's rule).

    Args:
        samples: any shape, float32 or float64; full scale is -1..1, beyond it is clipped.

    Returns:
        Same shape, int16.
    """
    from transforms.kernels import truncate_to_16_bit

    return _quantised(samples, truncate_to_16_bit)


def _quantised(samples: NDArray[Any], rule: Callable[[NDArray[Any], Pcm], None]) -> Pcm:
    pcm = np.empty(samples.shape, np.int16)
    rule(samples.ravel(), pcm.ravel())
    return pcm


QUANTISERS = {"floor": quantise_floor, "round": quantise_round, "truncate": quantise_truncate}


@functools.lru_cache(maxsize=1024)
def wav_header(frames: int, rate_hz: int) -> bytes:
    """Returns the 44-byte RIFF header of a mono 16-bit PCM file with so many frames."""
    size = 2 * frames
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate_hz, 2 * rate_hz, 2, 16, b"data", size,
    )  # fmt: skip


def decode_pcm(data: bytes) -> Pcm:
    """Decodes a mono 16-bit WAV file's bytes. Raises soundfile.LibsndfileError."""
    samples, _ = soundfile.read(BytesIO(data), dtype="int16")
    return np.asarray(samples, dtype=np.int16)
