"""The three lists that AVSE scenes are planned from: targets, speech maskers and noise maskers.

Each is a JSON array of objects, as the challenge publishes them; their order decides the random
stream. ``target_speech_list.json`` and ``masker_speech_list.json`` can be made anew from LRS3;
``masker_noise_list.json`` comes with the noises.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from transforms import storage
from transforms.errors import StorageError, UsageError
from transforms.listing import limited

TARGETS = "target_speech_list.json"
SPEECH_MASKERS = "masker_speech_list.json"
NOISE_MASKERS = "masker_noise_list.json"
RATE_HZ = 16000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """One target utterance.

    Attributes:
        name: ``<set>/<speaker>/<utterance>`` below LRS3, without extension.
        speaker: who talks; empty where a list does not say.
        dataset: ``train`` or ``dev``.
        length_samples: of its extracted audio at 16 kHz.
    """

    name: str
    speaker: str
    dataset: str
    length_samples: int


@dataclass(frozen=True, slots=True)
class Masker:
    """One recording that interferers are cut from.

    Attributes:
        name: file name below its folder, without extension.
        group: of a noise its class; speech maskers are one group, and theirs is empty.
        dataset: ``train`` or ``dev``.
        length_samples: at 16 kHz.
    """

    name: str
    group: str
    dataset: str
    length_samples: int


@dataclass(frozen=True)
class Lists:
    """All that scenes are planned from.

    Attributes:
        targets: in the order of their list.
        speech: speech maskers, in the order of their list.
        noise: noise maskers, in the order of their list.
    """

    targets: tuple[Target, ...]
    speech: tuple[Masker, ...]
    noise: tuple[Masker, ...]


def read_lists(folder: str) -> Lists:
    """Reads the three lists of a folder. Raises UsageError with all that is wrong with them."""
    problems: list[str] = []
    targets = _noting(problems, lambda: read_targets(storage.join(folder, TARGETS)))
    speech = _noting(problems, lambda: read_speech_maskers(storage.join(folder, SPEECH_MASKERS)))
    noise = _noting(problems, lambda: read_noise_maskers(storage.join(folder, NOISE_MASKERS)))
    if problems:
        raise UsageError(limited(problems))
    return Lists(targets, speech, noise)


def _noting(problems: list[str], read: Callable[[], tuple[T, ...]]) -> tuple[T, ...]:
    try:
        return read()
    except UsageError as error:
        problems += error.problems
    return ()


def read_targets(url: str) -> tuple[Target, ...]:
    """Reads ``target_speech_list.json``. Raises UsageError."""
    return _read(
        url,
        ("wavfile", "dataset", "nsamples"),
        lambda row: Target(row["wavfile"], str(row.get("speaker", "")), row["dataset"], row["nsamples"]),
    )


def read_speech_maskers(url: str) -> tuple[Masker, ...]:
    """Reads ``masker_speech_list.json``. Raises UsageError."""
    return _read(
        url,
        ("speaker", "dataset", "nsamples"),
        lambda row: Masker(row["speaker"], "", row["dataset"], row["nsamples"]),
    )


def read_noise_maskers(url: str) -> tuple[Masker, ...]:
    """Reads ``masker_noise_list.json``. Raises UsageError."""
    return _read(
        url,
        ("ID", "class", "dataset", "nsamples"),
        lambda row: Masker(row["ID"], row["class"], row["dataset"], row["nsamples"]),
    )


def read_objects(url: str) -> list[Mapping[str, Any]]:
    """Reads a file that holds a JSON array of objects. Raises UsageError."""
    try:
        rows = json.loads(storage.read_text(url))
    except ValueError as error:
        raise UsageError(f"{url}: is not JSON ({error}); fetch it again, or make it anew") from error
    except StorageError as error:
        raise UsageError(str(error)) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise UsageError(f"{url}: wanted an array of objects; fetch it again, or make it anew")
    return rows


def _read(url: str, names: Iterable[str], make: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    rows = read_objects(url)
    wanted = tuple(names)
    problems = [
        f"{url}, entry {number}: {problem}"
        for number, row in enumerate(rows, start=1)
        for problem in _problems(row, wanted)
    ]
    if problems:
        raise UsageError(limited(problems))
    return tuple(map(make, rows))


def _problems(row: Mapping[str, Any], names: Iterable[str]) -> Iterable[str]:
    for name in names:
        value = row.get(name)
        if name == "nsamples":
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                yield f"{name} is {value!r}; wanted a number of samples"
        elif not isinstance(value, str) or not value:
            yield f"{name} is {value!r}; wanted a text"


def targets_json(targets: Iterable[Target]) -> bytes:
    """Returns ``target_speech_list.json``."""
    return _json(
        {
            "wavfile": target.name,
            "speaker": target.speaker,
            "dataset": target.dataset,
            "nsamples": target.length_samples,
            "fs": RATE_HZ,
        }
        for target in targets
    )


def speech_maskers_json(maskers: Iterable[Masker]) -> bytes:
    """Returns ``masker_speech_list.json``."""
    return _json(
        {
            "speaker": masker.name,
            "dataset": masker.dataset,
            "nsamples": masker.length_samples,
            "fs": RATE_HZ,
            "type": "speech",
        }
        for masker in maskers
    )


def _json(rows: Iterable[Mapping[str, object]]) -> bytes:
    return json.dumps(list(rows), indent=2).encode()
