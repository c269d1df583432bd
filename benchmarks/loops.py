"""Programs that render LibriMix plans without Mixtape: what its speed is measured by.

    python -m benchmarks.loops bare|plain --plan FILE --librispeech DIR --wham DIR --out DIR --workers N

``bare`` decodes every source once, scales, resamples, sums, quantises once for both modes and writes each
file with one ``writev``: no pipeline, no ledger, no tables, no temporary names. ``plain`` is the pattern of
the field's scripts: for each rate and mode anew it reads, resamples with SciPy, mixes, writes with
soundfile, and works out SNRs in separate passes. Both use a pool of processes.
"""

import argparse
import functools
import itertools
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import resample_poly

from transforms.audio import wav_header
from transforms.corpora import librimix
from transforms.plan import Mixture, Source

Samples = NDArray[Any]

SOURCE_RATE_HZ = 16000
RATES_HZ = (8000, 16000)
MODES = ("min", "max")
TYPES = {"mix_clean": ("s1", "s2"), "mix_both": ("s1", "s2", "noise"), "mix_single": ("s1", "noise")}
STREAMS = ("s1", "s2", "noise", *TYPES)
_AT_ONCE = 5


def read(source: Source, roots: Mapping[str, Path]) -> Samples:
    """Decodes a source's first channel, float32."""
    samples: Samples = soundfile.read(roots[source.root] / source.path, dtype="float32")[0]
    return samples if samples.ndim == 1 else samples[:, 0]


def scaled_sources(mixture: Mixture, roots: Mapping[str, Path]) -> dict[str, Samples]:
    """Reads a mixture's sources, cuts the noise to the longest talker, and applies gains."""
    scaled: dict[str, Samples] = {}
    for source in mixture.sources:
        samples = read(source, roots)
        if source.role == "noise":
            samples = samples[: max(map(len, scaled.values()))]
        scaled[source.role] = samples * source.level
    return scaled


def at_rate(signals: Mapping[str, Samples], rate_hz: int) -> dict[str, Samples]:
    """Resamples all signals of a mixture."""
    if rate_hz == SOURCE_RATE_HZ:
        return dict(signals)
    return {role: resample_poly(one, rate_hz, SOURCE_RATE_HZ) for role, one in signals.items()}


def fitted(signals: Mapping[str, Samples], mode: str) -> dict[str, Samples]:
    """Cuts all signals to the shortest, or pads them to the longest."""
    length = (min if mode == "min" else max)(map(len, signals.values()))
    return {role: np.pad(one[:length], (0, max(0, length - len(one)))) for role, one in signals.items()}


def mixed(signals: Mapping[str, Samples], name: str) -> Samples:
    """Sums the members of a mixture type in order."""
    first, *rest = TYPES[name]
    total = signals[first]
    for role in rest:
        total = total + signals[role]
    return total


def place(out: str, rate_hz: int, mode: str, stream: str, mixture_id: str = "") -> str:
    """Returns the folder of a stream, or the file of a mixture in it."""
    folder = f"{out}/Libri2Mix/wav{rate_hz // 1000}k/{mode}/dev/{stream}"
    return f"{folder}/{mixture_id}.wav" if mixture_id else folder


def bare_mixture(mixture: Mixture, *, roots: Mapping[str, Path], out: str) -> None:
    """Renders one mixture with as little around it as there can be."""
    scaled = scaled_sources(mixture, roots)
    for rate_hz in RATES_HZ:
        signals = at_rate(scaled, rate_hz)
        streams = fitted(signals, "max")
        streams |= {name: mixed(streams, name) for name in TYPES}
        lengths = {"min": min(map(len, signals.values())), "max": None}
        for name, stream in streams.items():
            pcm = quantised(stream)
            for mode, length in lengths.items():
                write_bare(place(out, rate_hz, mode, name, mixture.id), pcm[:length], rate_hz)


def quantised(samples: Samples) -> NDArray[np.int16]:
    """Rounds to 16 bit as the published recipe does."""
    scaled = np.floor(np.rint(samples * np.float32(2.0**31)) * np.float32(2.0**-16))
    return np.clip(scaled, -32768, 32767).astype(np.int16)


def write_bare(path: str, pcm: NDArray[np.int16], rate_hz: int) -> None:
    """Writes a WAV file with one system call."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.writev(descriptor, (wav_header(len(pcm), rate_hz), pcm))
    os.close(descriptor)


def plain_mixture(mixture: Mixture, *, roots: Mapping[str, Path], out: str) -> None:
    """Renders one mixture as scripts do: everything anew for each rate and mode."""
    for rate_hz, mode in itertools.product(RATES_HZ, MODES):
        streams = fitted(at_rate(scaled_sources(mixture, roots), rate_hz), mode)
        for role, stream in list(streams.items()):
            write_plain(place(out, rate_hz, mode, role, mixture.id), stream, rate_hz)
        for name, members in TYPES.items():
            mixture_samples = mixed(streams, name)
            write_plain(place(out, rate_hz, mode, name, mixture.id), mixture_samples, rate_hz)
            for role in members:
                snr_db(streams[role], mixture_samples - streams[role])


def write_plain(path: str, samples: Samples, rate_hz: int) -> None:
    """Writes a 16-bit WAV file with soundfile."""
    soundfile.write(path, samples, rate_hz, subtype="PCM_16")


def snr_db(signal: Samples, rest: Samples) -> float:
    """Returns the ratio of two mean powers."""
    return float(10 * np.log10(np.mean(signal**2) / (np.mean(rest**2) + 1e-10) + 1e-10))


def render(
    one: Callable[..., None], mixtures: list[Mixture], roots: Mapping[str, Path], *, out: Path, workers: int
) -> None:
    """Runs a loop over all mixtures in a pool of processes."""
    for rate_hz, mode, stream in itertools.product(RATES_HZ, MODES, STREAMS):
        Path(place(str(out), rate_hz, mode, stream)).mkdir(parents=True)
    with ProcessPoolExecutor(workers) as pool:
        for _ in pool.map(functools.partial(one, roots=roots, out=str(out)), mixtures, chunksize=_AT_ONCE):
            pass


def main() -> None:
    """Renders as the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("loop", choices=["bare", "plain"])
    for name in ("plan", "librispeech", "wham", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--workers", type=int, required=True)
    arguments = parser.parse_args()
    one = bare_mixture if arguments.loop == "bare" else plain_mixture
    roots = {"librispeech": arguments.librispeech, "wham": arguments.wham}
    mixtures = librimix.read_plan(str(arguments.plan))[1]
    render(one, mixtures, roots, out=arguments.out, workers=arguments.workers)


if __name__ == "__main__":
    main()
