"""Generated corpora in the layouts of LibriSpeech and WHAM, for the demo and the tests.

The speech is made by a small formant synthesiser: glottal pulses and frication through four moving
resonators, in syllables, words and pauses, with a pitch and a vocal tract of its own per reader. It
has no meaning, but the rhythm, spectrum and level of speech. Every file depends on the seed and on
its own name only.
"""

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from transforms.audio import quantise_floor
from transforms.storage import OutputTree

RATE_HZ = 16000
NOISE_KINDS = ("babble", "rain", "machinery")
WHAM_FOLDERS = ("tr", "cv", "tt")

_FRAME_SAMPLES = 80
_FRAMES_PER_S = RATE_HZ // _FRAME_SAMPLES
_FIRST_READER = 1001
_BABBLE_VOICES = 5

# Formants 1 to 3 in Hz, averages of men after Peterson and Barney (1952), and a fixed fourth.
_VOWELS_HZ: Mapping[str, tuple[int, int, int, int]] = {
    "i": (270, 2290, 3010, 3500),
    "e": (530, 1840, 2480, 3500),
    "ae": (660, 1720, 2410, 3500),
    "a": (730, 1090, 2440, 3500),
    "o": (570, 840, 2410, 3300),
    "u": (300, 870, 2240, 3300),
    "er": (490, 1350, 1690, 3300),
}
_NASAL_HZ = (250, 1200, 2200, 3300)
_BANDWIDTHS_HZ = np.array([70.0, 100.0, 140.0, 220.0])

_SPEAKERS_HEAD = """\
; The readers of a generated corpus.
; Nobody lent a voice to it.
;
; Fields, separated by '|':
;
; ID:      number of the reader
; SEX:     F or M
; SUBSET:  the subset with the reader's utterances
; MINUTES: minutes of audio
; NAME:    a label
;
;ID  |SEX| SUBSET           |MINUTES| NAME
"""

Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Voice:
    """What tells one reader from another.

    Attributes:
        pitch_hz: mean fundamental frequency.
        tract: factor on all formant frequencies; a shorter vocal tract has a larger one.
        syllable_s: mean length of a syllable's vowel.
    """

    pitch_hz: float
    tract: float
    syllable_s: float


@dataclass(frozen=True, slots=True)
class _Segment:
    """A stretch of constant articulation: length in frames, amplitudes 0..1, formants in Hz."""

    frames: int
    voicing: float
    frication: float
    formants_hz: tuple[int, int, int, int]


def make_librispeech(
    tree: OutputTree,
    *,
    subsets: Sequence[str],
    readers_per_subset: int,
    utterances_per_reader: int,
    seconds: tuple[float, float] = (3.2, 6.0),
    seed: int,
) -> None:
    """Writes a corpus of generated speech in LibriSpeech's layout: 16 kHz mono 16-bit FLAC.

    Args:
        tree: the corpus root; ``SPEAKERS.TXT`` and ``<subset>/<reader>/<chapter>/`` go there.
        subsets: folder names such as ``train-clean-100``; no reader is in two of them.
        readers_per_subset: readers, women and men by turns.
        utterances_per_reader: utterances, all in one chapter.
        seconds: shortest and longest utterance, drawn evenly.
        seed: changes every voice and utterance.

    Raises:
        StorageError: a file cannot be written.
    """
    rows = []
    readers = itertools.count(_FIRST_READER)
    for subset, _ in itertools.product(subsets, range(readers_per_subset)):
        reader = next(readers)
        sex = "FM"[reader % 2]
        voice = make_voice(sex, _generator(seed, f"voice/{reader}"))
        total = 0
        for number in range(utterances_per_reader):
            name = f"{reader}-{reader + 120000}-{number:04d}"
            rng = _generator(seed, f"utterance/{name}")
            samples = utterance(voice, _draw_length(seconds, rng), rng)
            total += len(samples)
            path = f"{subset}/{reader}/{reader + 120000}/{name}.flac"
            tree.write_if_changed(path, _encoded(samples, container="FLAC"))
        minutes = total / RATE_HZ / 60
        rows.append(f"{reader:<5}| {sex} | {subset:<16} | {minutes:5.2f} | Generated Reader {reader}\n")
    tree.write_if_changed("SPEAKERS.TXT", (_SPEAKERS_HEAD + "".join(rows)).encode())


def make_wham(
    tree: OutputTree, *, noises_per_subset: int, seconds: tuple[float, float] = (4.0, 8.0), seed: int
) -> None:
    """Writes a corpus of generated noises in WHAM's layout: 16 kHz stereo 16-bit WAV.

    Args:
        tree: the corpus root; the folders ``tr``, ``cv`` and ``tt`` go there.
        noises_per_subset: noises in each folder, of the kinds ``NOISE_KINDS`` by turns.
        seconds: shortest and longest noise, drawn evenly.
        seed: changes every noise.

    Raises:
        StorageError: a file cannot be written.
    """
    for folder, number in itertools.product(WHAM_FOLDERS, range(noises_per_subset)):
        path = f"{folder}/{NOISE_KINDS[number % len(NOISE_KINDS)]}_{number:04d}.wav"
        rng = _generator(seed, f"noise/{path}")
        samples = noise(NOISE_KINDS[number % len(NOISE_KINDS)], _draw_length(seconds, rng), rng)
        tree.write_if_changed(path, _encoded(samples, container="WAV"))


def make_voice(sex: str, rng: np.random.Generator) -> Voice:
    """Draws a voice in the range of women (``F``) or men (``M``)."""
    pitch_hz, tract = (rng.uniform(170, 240), 1.16) if sex == "F" else (rng.uniform(90, 140), 1.0)
    return Voice(float(pitch_hz), float(tract * rng.uniform(0.95, 1.05)), float(rng.uniform(0.11, 0.17)))


def utterance(voice: Voice, length_samples: int, rng: np.random.Generator) -> Samples:
    """Synthesises speech without meaning.

    Args:
        voice: who speaks.
        length_samples: wanted length at 16 kHz, of which about 0.15 s at each end is quiet.
        rng: everything else is drawn from it.

    Returns:
        Shape (length_samples,), peak 0.3 to 0.7 of full scale, over a faint background hiss.
    """
    frames = -(-length_samples // _FRAME_SAMPLES)
    voicing, frication, formants_hz = _tracks(_segments(voice, frames, rng), frames)
    pitch_hz = voice.pitch_hz * _intonation(frames, rng)
    breath = rng.normal(0, 1, frames * _FRAME_SAMPLES)
    source = _spread(voicing) * (_glottal_pulses(_spread(pitch_hz)) + 0.003 * breath)
    spoken = _resonate(source, formants_hz * voice.tract)
    hissed = _band(rng.normal(0, 1, len(source)), (3000.0 * voice.tract, 7200.0))
    spoken = spoken / np.abs(spoken).max() + 0.12 * _spread(frication) * hissed
    spoken *= rng.uniform(0.3, 0.7) / np.abs(spoken).max()
    return np.asarray((spoken + 3e-4 * breath)[:length_samples])


def noise(kind: str, length_samples: int, rng: np.random.Generator) -> Samples:
    """Synthesises a noise.

    Args:
        kind: one of ``NOISE_KINDS``.
        length_samples: wanted length at 16 kHz.
        rng: everything is drawn from it.

    Returns:
        Shape (length_samples, 2), peak 0.2 to 0.5 of full scale; the channels differ as those of
        two microphones do.
    """
    makers = {"babble": _babble, "rain": _rain, "machinery": _machinery}
    near = makers[kind](length_samples, rng)
    far = 0.7 * np.roll(near, 7) + 0.3 * np.std(near) * _smooth(rng.normal(0, 1, length_samples), 3)
    channels = np.stack((near, far), axis=1)
    return np.asarray(channels * rng.uniform(0.2, 0.5) / np.abs(channels).max())


def _generator(seed: int, name: str) -> np.random.Generator:
    """Seeds a generator from the user's seed and the name of what it is for."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16], "little")))


def _draw_length(seconds: tuple[float, float], rng: np.random.Generator) -> int:
    return int(rng.uniform(*seconds) * RATE_HZ)


def _encoded(samples: Samples, *, container: str) -> bytes:
    buffer = BytesIO()
    soundfile.write(buffer, quantise_floor(samples), RATE_HZ, format=container, subtype="PCM_16")
    return buffer.getvalue()


def _segments(voice: Voice, frames: int, rng: np.random.Generator) -> Iterator[_Segment]:
    """Yields at least ``frames`` frames of articulation: words of syllables, now and then a pause."""
    neutral = _VOWELS_HZ["er"]
    yield _Segment(int(0.15 * _FRAMES_PER_S), 0.0, 0.0, neutral)
    left = frames - int(0.3 * _FRAMES_PER_S)
    while left > 0:
        word = [part for _ in range(rng.integers(1, 4)) for part in _syllable(voice, rng)]
        gap_s = rng.uniform(0.2, 0.4) if rng.random() < 0.2 else rng.uniform(0.0, 0.06)
        word.append(_Segment(int(gap_s * _FRAMES_PER_S), 0.0, 0.0, word[-1].formants_hz))
        for part in word:
            yield _Segment(min(part.frames, left), part.voicing, part.frication, part.formants_hz)
            left -= min(part.frames, left)
    yield _Segment(frames, 0.0, 0.0, neutral)


def _syllable(voice: Voice, rng: np.random.Generator) -> list[_Segment]:
    """Returns a consonant and a vowel that moves to a second target."""
    first, second = (_VOWELS_HZ[name] for name in rng.choice(list(_VOWELS_HZ), 2))
    half = max(6, int(voice.syllable_s * rng.uniform(0.7, 1.5) * _FRAMES_PER_S / 2))
    loudness = rng.uniform(0.55, 1.0)
    consonants = {
        "stop": [_Segment(9, 0.0, 0.0, first), _Segment(3, 0.0, 0.9, first)],
        "fricative": [_Segment(int(rng.integers(12, 22)), 0.0, 0.6, first)],
        "voiced fricative": [_Segment(int(rng.integers(9, 15)), 0.3, 0.35, first)],
        "nasal": [_Segment(int(rng.integers(10, 16)), 0.35, 0.0, _NASAL_HZ)],
        "none": [],
    }
    vowel = [_Segment(half, loudness, 0.0, first), _Segment(half, 0.8 * loudness, 0.0, second)]
    return consonants[str(rng.choice(list(consonants)))] + vowel


def _tracks(segments: Iterator[_Segment], frames: int) -> tuple[Samples, Samples, Samples]:
    """Turns segments into smooth voicing, frication (frames,) and formants in Hz (frames, 4)."""
    parts = list(segments)
    counts = [part.frames for part in parts]
    steps = np.array([(part.voicing, part.frication, *part.formants_hz) for part in parts])
    tracks = np.repeat(steps, counts, axis=0)[:frames]
    formants_hz = np.stack([_smooth(track, 13) for track in tracks.T[2:]], axis=1)
    return _smooth(tracks[:, 0], 7), _smooth(tracks[:, 1], 5), formants_hz


def _smooth(track: Samples, width: int) -> Samples:
    """Moving Hann average of an odd number of values; the ends are held."""
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(track, width // 2, mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")


def _spread(track: Samples) -> Samples:
    """Interpolates one value per frame to one per sample."""
    positions = np.arange(len(track) * _FRAME_SAMPLES) / _FRAME_SAMPLES
    return np.interp(positions, np.arange(len(track)), track)


def _intonation(frames: int, rng: np.random.Generator) -> Samples:
    """Returns a pitch factor per frame: it falls over a phrase of about 2 s and rises on accents."""
    time_s = np.arange(frames) / _FRAMES_PER_S
    phrase_s = rng.uniform(1.6, 2.4)
    falling = 1.12 - 0.26 * ((time_s % phrase_s) / phrase_s)
    accents = np.repeat(rng.normal(0, 0.07, frames // 50 + 1), 50)[:frames]
    return _smooth(falling, 31) + _smooth(accents, 41)


def _glottal_pulses(pitch_hz: Samples) -> Samples:
    """Derivative of a glottal flow of Rosenberg's shape (1971), with raised high frequencies."""
    phase = np.cumsum(pitch_hz / RATE_HZ) % 1.0
    opening = 0.5 * (1 - np.cos(np.pi * phase / 0.55))
    closing = np.cos(0.5 * np.pi * (phase - 0.55) / 0.07)
    flow = np.select([phase < 0.55, phase < 0.62], [opening, closing], 0.0)
    pulses = np.diff(flow, prepend=flow[0])
    return pulses - 0.75 * np.roll(pulses, 1)


def _resonate(source: Samples, formants_hz: Samples) -> Samples:
    """Filters with a cascade of four resonators whose formants, shape (frames, 4), move per frame."""
    from scipy.signal import sosfilt

    sections = _resonators(formants_hz)
    state = np.zeros((sections.shape[1], 2))
    out = np.empty_like(source)
    for frame, section in enumerate(sections):
        part = slice(frame * _FRAME_SAMPLES, (frame + 1) * _FRAME_SAMPLES)
        out[part], state = sosfilt(section, source[part], zi=state)
    return out


def _resonators(formants_hz: Samples) -> NDArray[Any]:
    """Second-order sections (frames, 4, 6) of unit gain at 0 Hz, after Klatt (1980)."""
    radius = np.exp(-np.pi * _BANDWIDTHS_HZ / RATE_HZ)
    sections = np.zeros((*formants_hz.shape, 6))
    sections[..., 3] = 1.0
    sections[..., 4] = -2 * radius * np.cos(2 * np.pi * formants_hz / RATE_HZ)
    sections[..., 5] = radius**2
    sections[..., 0] = sections[..., 3:].sum(axis=-1)
    return sections


def _band(samples: Samples, edges_hz: tuple[float, float]) -> Samples:
    """Keeps a band of frequencies (Butterworth, second order each side)."""
    from scipy.signal import butter, sosfilt

    return np.asarray(sosfilt(butter(2, edges_hz, "bandpass", fs=RATE_HZ, output="sos"), samples))


def _babble(length_samples: int, rng: np.random.Generator) -> Samples:
    """Several voices at once, as from the next room."""
    voices = [make_voice("FM"[number % 2], rng) for number in range(_BABBLE_VOICES)]
    crowd = sum(utterance(voice, length_samples, rng) for voice in voices)
    return _band(np.asarray(crowd), (120.0, 3200.0))


def _rain(length_samples: int, rng: np.random.Generator) -> Samples:
    """A steady hiss and drops of very different loudness."""
    drops = np.where(rng.random(length_samples) < 150 / RATE_HZ, rng.exponential(1.0, length_samples), 0)
    ringing = _band(drops, (1500.0, 2600.0)) + _band(np.roll(drops, 11), (3000.0, 5000.0))
    return np.asarray(ringing + 0.05 * _band(rng.normal(0, 1, length_samples), (600.0, 7600.0)))


def _machinery(length_samples: int, rng: np.random.Generator) -> Samples:
    """Harmonics of a turning shaft with drifting speed, and a stroke of broadband noise per turn."""
    turn_hz = rng.uniform(8, 24) * (1 + 0.02 * _smooth(rng.normal(0, 1, length_samples // 400 + 2), 21))
    speed_hz = np.interp(np.arange(length_samples), np.arange(len(turn_hz)) * 400.0, turn_hz)
    turns = np.cumsum(speed_hz / RATE_HZ)
    hum = sum(np.sin(2 * np.pi * (5 * order * turns + rng.random())) / order for order in range(1, 9))
    stroke = np.exp(-8.0 * (turns % 1.0)) * _band(rng.normal(0, 1, length_samples), (400.0, 5000.0))
    return np.asarray(0.25 * hum + stroke)
