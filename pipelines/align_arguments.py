"""Flags of ``mixtape align``, described without importing anything heavy."""

import argparse


def add_align(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``align``, but for those that all commands have."""
    add = parser.add_argument
    add("--corpus", metavar="URL", help="folder of video files, at any depth (needed)")
    add("--out", metavar="URL", help="root of the corpus to make (needed)")
    _add_timeline(parser)
    add("--frames", metavar="FORM", default="jpg", help="jpg: a JPEG file per frame; npy: one array of all")
    add(
        "--crop",
        metavar="WxH[+LEFT+TOP]",
        default="",
        help="take only this part of each picture, in pixels; from the middle unless a corner is named",
    )
    add("--size", metavar="WxH", default="", help="resize to this, after the crop")
    add("--formats", nargs="+", metavar="FORMAT", default=["wav"], help="of wav, webdataset, tfrecord")
    add(
        "--shard-size",
        metavar="N",
        default="100",
        help="segments per shard, the unit of work and of resume; those of one file stay together",
    )
    add("--prune", action="store_true", help="remove what an earlier run made and this one does not hold")
    add(
        "--licence",
        nargs="+",
        metavar="ROOT=TEXT",
        help="licence of the videos, for the card: video=TEXT",
    )


def _add_timeline(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rate", metavar="HZ", default="16000", help="sampling rate of the sound")
    add("--fps", metavar="RATE", default="25", help="frames per second: 25, 29.97, 30000/1001")
    add(
        "--rule",
        metavar="RULE",
        default="hold",
        help="the picture that a frame shows: hold, the one visible then; nearest, as FFmpeg's filter fps",
    )
    add(
        "--segment",
        metavar="SECONDS",
        default="",
        help="length of a segment, cut at frames; the last of a file is shorter (default: whole files)",
    )
    add(
        "--tail",
        metavar="RULE",
        default="drop",
        help="frames at the end whose sound is not complete: drop them, or pad the sound with silence",
    )
    add(
        "--damaged",
        metavar="RULE",
        default="reject",
        help="segments of which something cannot be decoded: reject them, or keep the prefix before it",
    )
    add(
        "--ignore-timestamps",
        action="store_true",
        help="count samples and pictures from the first ones on, as published recipes do",
    )
