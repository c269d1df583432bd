"""The published scene lists of the AVSE challenge: ``scenes.<subset>.json``, read and written.

A list is a JSON array of scenes. Of each scene the renderer uses its name, its target, its interferer
with type and first sample, and its SNR in dB; lengths come from the files themselves.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from transforms.corpora.avse_lists import read_objects
from transforms.corpora.plan_names import PlanNames
from transforms.errors import UsageError
from transforms.listing import limited
from transforms.plan import Mixture, Part, Source, mixture_problems

RECIPE = "avse"
CORPUS = "AVSE"
TARGET, INTERFERER = "target", "interferer"
LRS3, TARGET_WAVS = "lrs3", "target_wavs"
MASKER_ROOTS: Mapping[str, str] = {"speech": "speech_maskers", "noise": "noise_maskers"}
ROOTS = (LRS3, "noise_maskers", "speech_maskers", TARGET_WAVS)

_NAME = re.compile(r"scenes\.([A-Za-z0-9][A-Za-z0-9_-]*)\.json")
_VIDEO, _WAV = ".mp4", ".wav"
_SNR_DECIMALS = 4
_SCENE = """\
  {{
    "dataset": {dataset},
    "scene": {scene},
    "target": {{
      "name": {target}
    }},
    "duration": {duration},
    "interferer": {{
      "type": {type},
      "time_start": {time_start},
      "time_end": {time_end},
      "name": {name},
      "offset": {offset}
    }},
    "SNR": {snr_db:.{decimals}f},
    "pre_samples": 0,
    "post_samples": 0
  }}"""


@dataclass(frozen=True, slots=True)
class Scene:
    """One planned scene.

    Attributes:
        dataset: ``train`` or ``dev``.
        name: unique name, such as ``S00001``.
        target: target utterance, ``<set>/<speaker>/<utterance>``.
        duration_samples: the target's length as its list tells it.
        kind: ``speech`` or ``noise``.
        time_start: of the interferer in the scene, in samples; recorded only.
        time_end: likewise.
        masker: recording that the interferer is cut from.
        offset_samples: first sample of the interferer in it.
        snr_db: by how many dB the target's weighted level exceeds the interferer's.
    """

    dataset: str
    name: str
    target: str
    duration_samples: int
    kind: str
    time_start: int
    time_end: int
    masker: str
    offset_samples: int
    snr_db: float


def scenes_path(subset: str) -> str:
    """Returns the published file name of a scene list: ``scenes.train.json``."""
    return f"scenes.{subset}.json"


def scenes_json(scenes: Iterable[Scene]) -> bytes:
    """Returns a scene list in the published form: SNRs have four decimals, and no newline is at the end."""
    texts = ",\n".join(map(_scene_text, scenes))
    return (f"[\n{texts}\n]" if texts else "[]").encode()


def _scene_text(scene: Scene) -> str:
    return _SCENE.format(
        dataset=json.dumps(scene.dataset),
        scene=json.dumps(scene.name),
        target=json.dumps(scene.target),
        duration=scene.duration_samples,
        type=json.dumps(scene.kind),
        time_start=scene.time_start,
        time_end=scene.time_end,
        name=json.dumps(scene.masker),
        offset=scene.offset_samples,
        snr_db=scene.snr_db,
        decimals=_SNR_DECIMALS,
    )


def to_mixture(
    name: str, target: str, *, kind: str, masker: str, offset_samples: int, snr_db: float, wavs: bool = False
) -> Mixture:
    """Describes a scene for the renderer.

    Args:
        name: the scene.
        target: target utterance, ``<set>/<speaker>/<utterance>``.
        kind: ``speech`` or ``noise``.
        masker: recording that the interferer is cut from.
        offset_samples: first sample of the interferer in it.
        snr_db: as the list tells it.
        wavs: the target's audio is read from extracted WAVs, and not from its video.
    """
    root, suffix = (TARGET_WAVS, _WAV) if wavs else (LRS3, _VIDEO)
    sources = (
        Source(TARGET, root, target + suffix, speaker=_speaker(target)),
        Source(
            INTERFERER,
            MASKER_ROOTS[kind],
            masker + _WAV,
            level_kind="snr",
            level=snr_db,
            measure="weighted",
            against=TARGET,
            fit="cut",
            offset_samples=offset_samples,
            speaker=masker if kind == "speech" else "",
        ),
    )
    return Mixture(name, sources)


def _speaker(target: str) -> str:
    return target.rpartition("/")[0].rpartition("/")[2]


def video_of(mixture: Mixture) -> Source:
    """Returns the video that a scene's target talks in, wherever its audio is read from."""
    target = next(source for source in mixture.sources if source.role == TARGET)
    stem = target.path.removesuffix(_WAV if target.root == TARGET_WAVS else _VIDEO)
    return Source(TARGET, LRS3, stem + _VIDEO)


def _named_part(name: str) -> Part | None:
    match = _NAME.fullmatch(name)
    return Part(RECIPE, CORPUS, match[1]) if match else None


_NAMES = PlanNames(
    "scene list", "scenes.<subset>.json (for instance scenes.train.json)", ".json", _named_part
)


def find_plans(urls: Iterable[str]) -> list[str]:
    """Finds scene lists, see ``PlanNames.find``. Raises UsageError."""
    return _NAMES.find(list(urls))


def read_plan(url: str, *, wavs: bool = False) -> tuple[Part, list[Mixture]]:
    """Reads a scene list.

    Args:
        url: the list.
        wavs: see ``to_mixture``.

    Returns:
        What its scenes make up, told by its name, and the scenes in order.

    Raises:
        UsageError: everything that is wrong with its name and scenes.
    """
    part = _NAMES.part_at(url)
    problems: list[str] = []
    mixtures: list[Mixture] = []
    first_places: dict[str, int] = {}
    for number, row in enumerate(read_objects(url), start=1):
        found = list(_row_problems(row))
        if not found:
            mixture = _row_mixture(row, wavs=wavs)
            mixtures.append(mixture)
            found = mixture_problems(mixture, ROOTS)
            first = first_places.setdefault(mixture.id, number)
            if first != number:
                found.append(f"{mixture.id!r} is entry {first} already; remove one of them")
        problems += [f"{url}, entry {number}: {problem}" for problem in found]
    if not mixtures and not problems:
        problems.append(f"{url}: holds no scene; fetch it again, or plan again")
    if problems:
        raise UsageError(limited(problems))
    return part, mixtures


def _row_problems(row: Mapping[str, Any]) -> Iterator[str]:
    target, interferer = row.get("target"), row.get("interferer")
    target = target if isinstance(target, dict) else {}
    interferer = interferer if isinstance(interferer, dict) else {}
    for label, value in (
        ("scene", row.get("scene")),
        ("target.name", target.get("name")),
        ("interferer.name", interferer.get("name")),
    ):
        if not isinstance(value, str) or not value:
            yield f"{label} is {value!r}; wanted a text"
    if interferer.get("type") not in tuple(MASKER_ROOTS):
        yield f"interferer.type is {interferer.get('type')!r}; wanted {' or '.join(MASKER_ROOTS)}"
    offset, snr_db = interferer.get("offset"), row.get("SNR")
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        yield f"interferer.offset is {offset!r}; wanted a whole number of 0 or more"
    if isinstance(snr_db, bool) or not isinstance(snr_db, int | float) or not math.isfinite(snr_db):
        yield f"SNR is {snr_db!r}; wanted a number of dB"


def _row_mixture(row: Mapping[str, Any], *, wavs: bool) -> Mixture:
    interferer = row["interferer"]
    return to_mixture(
        row["scene"],
        row["target"]["name"],
        kind=interferer["type"],
        masker=interferer["name"],
        offset_samples=interferer["offset"],
        snr_db=float(row["SNR"]),
        wavs=wavs,
    )
