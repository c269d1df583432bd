"""Flags of ``mixtape pack``, described without importing anything heavy."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of ``pack``, but for those that all commands have."""
    add = parser.add_argument
    add(
        "archives",
        nargs="+",
        metavar="URL",
        help="tar archives as published, compressed or not; those of one corpus together",
    )
    add(
        "--out", metavar="URL", help="folder for the shards, which then serves as root of the corpus (needed)"
    )
    add(
        "--shard-bytes",
        metavar="N[K|M|G]",
        default="1G",
        help="size of a shard; K, M and G are thousands, millions and billions",
    )
