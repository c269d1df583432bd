"""Decodes damaged copies of clips, one path per line on stdin; says what came of each as JSON.

Run as a program, so that a crash of FFmpeg's libraries is an exit status and not the end of the tests.
"""

import json
import sys
import time
from typing import Any

from transforms.errors import SourceError
from transforms.video.aligned import AlignOptions
from transforms.video.clips import OpenClip
from transforms.video.decoding import ClipFile


def outcome(path: str, options: AlignOptions) -> dict[str, Any]:
    """Decodes a clip in segments of a second."""
    found: dict[str, Any] = {"frames": [], "samples": [], "flags": [], "reasons": []}
    try:
        clip = OpenClip(ClipFile("video:clip", path), options)
    except SourceError as error:
        return {**found, "reasons": [error.reason]}
    ranges = list(options.ranges(clip.record, 25))
    if not ranges:
        found["reasons"].append("no whole frame")
    for frames in ranges:
        try:
            segment = clip.segment(frames)
        except SourceError as error:
            found["reasons"].append(error.reason)
        else:
            found["frames"].append(len(segment.frames))
            found["samples"].append(len(segment.samples))
            found["flags"].append(segment.facts["flags"])
    return found


def main() -> None:
    for line in sys.stdin:
        started = time.monotonic()
        found = outcome(line.rstrip("\n"), AlignOptions(damaged="prefix"))
        print(json.dumps({**found, "seconds": time.monotonic() - started}), flush=True)


if __name__ == "__main__":
    main()
