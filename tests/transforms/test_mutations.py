"""Three hundred damaged copies of the test clips: a good beginning or a reason, never a crash or a hang."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flashes import GOLDEN

COPIES = 300
PATIENCE_S = 60.0
LONGEST_HEADER = 2500


def flipped(data: bytes, rng: random.Random) -> bytes:
    """Changes bytes anywhere."""
    changed = bytearray(data)
    for _ in range(rng.choice([1, 5, 50, 500])):
        changed[rng.randrange(len(changed))] ^= rng.randrange(1, 256)
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(1, len(data))]


def with_bad_header(data: bytes, rng: random.Random) -> bytes:
    """Changes bytes of the index."""
    changed, start = bytearray(data), data.find(b"moov")
    for _ in range(rng.choice([1, 3, 10])):
        place = start + rng.randrange(-8, LONGEST_HEADER)
        changed[min(len(changed) - 1, max(0, place))] = rng.randrange(256)
    return bytes(changed)


def blanked(data: bytes, rng: random.Random) -> bytes:
    """Puts zeros in place of a stretch."""
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.randrange(1, 4000))
    return data[:start] + bytes(stop - start) + data[stop:]


def swapped(data: bytes, rng: random.Random) -> bytes:
    """Exchanges the end and a stretch before it."""
    first, second = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[:first] + data[second:] + data[first:second]


MUTATIONS = (flipped, cut, with_bad_header, blanked, swapped)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> list[dict[str, Any]]:
    """What came of each copy; copy k is clip k changed by mutation k, in turn."""
    folder, rng = tmp_path_factory.mktemp("damaged"), random.Random(2026)
    clips = sorted(GOLDEN.rglob("*.m[op]*"))
    paths = []
    for number in range(COPIES):
        clip = clips[number % len(clips)]
        path = folder / f"{number:03d}{clip.suffix}"
        path.write_bytes(MUTATIONS[number // len(clips) % len(MUTATIONS)](clip.read_bytes(), rng))
        paths.append(str(path))
    done = subprocess.run(
        [sys.executable, "-m", "tests.transforms.mutations"],
        cwd=repository,
        input="\n".join(paths) + "\n",
        capture_output=True,
        text=True,
        timeout=COPIES * PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, f"it ended with {done.returncode}: {done.stderr[-2000:]}"
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_none_crashes_or_hangs(outcomes: list[dict[str, Any]]) -> None:
    assert len(outcomes) == COPIES
    assert max(outcome["seconds"] for outcome in outcomes) < PATIENCE_S


def test_each_gives_a_good_beginning_or_a_reason(outcomes: list[dict[str, Any]]) -> None:
    for outcome in outcomes:
        assert outcome["frames"] or outcome["reasons"]
        assert outcome["samples"] == [640 * frames for frames in outcome["frames"]]
        assert all(outcome["reasons"]), outcome


def test_all_kinds_of_endings_are_seen(outcomes: list[dict[str, Any]]) -> None:
    rejected = sum(not outcome["frames"] for outcome in outcomes)
    flagged = sum(any(outcome["flags"]) for outcome in outcomes)
    cut_short = sum(any("cut" in flags.split() for flags in outcome["flags"]) for outcome in outcomes)
    assert rejected > 50
    assert flagged > 50
    assert cut_short > 20


def test_reasons_are_sentences(outcomes: list[dict[str, Any]]) -> None:
    reasons = {reason for outcome in outcomes for reason in outcome["reasons"]}
    beginnings = (
        "is not a video file or is damaged (",
        "is damaged: ",
        "holds ",
        "has no ",
        "none of its ",
        "no whole",
    )
    assert all(reason.startswith(beginnings) for reason in reasons), sorted(reasons)
