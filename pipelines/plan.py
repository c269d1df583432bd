"""``mixtape plan librimix``: listings in, plans out; with the audio, gains too."""

import argparse
import functools
import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipelines import runner
from pipelines.checks import Checker
from pipelines.output import REJECTS_PATH, check_writable
from transforms import storage
from transforms.corpora import librimix
from transforms.listing import NoiseClip, Utterance, read_noises, read_utterances
from transforms.plan import Mixture, write_plan
from transforms.planning.librimix import PlannedSubset, plan_subsets, to_mixture
from transforms.rejects import Reject, RejectLimit, rejects_csv
from transforms.storage import OutputTree


@dataclass(frozen=True)
class PlanRequest:
    """A checked command line of ``plan librimix``, with the listings read.

    Attributes:
        speech: rows of every speech listing by name, in the order of the random stream.
        noises: rows of every noise listing by name.
        roots: URL of the audio by root name; empty to plan without gains.
        out: where the plans go.
        speakers: utterances per mixture.
        seed: seed of the random stream.
        round_to: plans are cut to a multiple of this.
        dev_test_size: mixtures of a subset that is not for training.
        shard_size: mixtures per row group.
        limit: rejects that a good run may have.
        workers: processes of a local run.
        passed_on: flags for Beam.
        quiet: print problems only.
        verbose: let Beam log.
    """

    speech: dict[str, list[Utterance]]
    noises: dict[str, list[NoiseClip]]
    roots: dict[str, str]
    out: str
    speakers: int
    seed: int
    round_to: int
    dev_test_size: int
    shard_size: int
    limit: RejectLimit
    workers: int
    passed_on: tuple[str, ...]
    quiet: bool
    verbose: bool

    def subsets(self) -> list[PlannedSubset]:
        """Chooses utterances and noises of all subsets. Raises UsageError."""
        return plan_subsets(
            self.speech,
            self.noises,
            speakers=self.speakers,
            seed=self.seed,
            round_to=self.round_to,
            dev_test_size=self.dev_test_size,
        )


@dataclass(frozen=True)
class PlanTarget:
    """Where and how plans are written.

    Attributes:
        tree: the output.
        speakers: utterances per mixture.
        shard_size: mixtures per row group of the Parquet form.
        with_gains: whether the mixtures have gains.
    """

    tree: OutputTree
    speakers: int
    shard_size: int
    with_gains: bool

    def write(self, listing_name: str, rows: Sequence[Mixture | Reject]) -> list[Reject]:
        """Writes the published plan and info file of a listing, and with gains our Parquet plan.

        Returns:
            The rejects among the rows. Raises StorageError.
        """
        mixtures = [row for row in rows if isinstance(row, Mixture)]
        path = librimix.plan_path(listing_name, self.speakers)
        csv_bytes = librimix.plan_csv(mixtures, self.speakers, with_gains=self.with_gains)
        self.tree.write_if_changed(path, csv_bytes)
        info = librimix.info_csv(mixtures, self.speakers)
        self.tree.write_if_changed(librimix.info_path(listing_name, self.speakers), info)
        if self.with_gains:
            part = librimix.part_of(listing_name, self.speakers)
            parquet = path.removesuffix(".csv") + ".parquet"
            write_plan(self.tree, parquet, part, mixtures, shard_size=self.shard_size)
        return [row for row in rows if isinstance(row, Reject)]

    def write_rejects(self, lists: Iterable[Sequence[Reject]]) -> None:
        """Writes all rejects of a run, or removes those of an earlier one."""
        rejects = sorted(itertools.chain.from_iterable(lists), key=lambda reject: reject.item)
        if rejects:
            self.tree.write_if_changed(REJECTS_PATH, rejects_csv(rejects))
        else:
            self.tree.remove(REJECTS_PATH)


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    request = make_request(checker, passed_on)
    subsets = request.subsets()
    if arguments.dry_run:
        for subset in subsets:
            print(f"{subset.listing_name}: {len(subset.mixtures):,} mixtures would be planned")
        return 0
    return write_plans(request, subsets)


def make_request(checker: Checker, passed_on: Sequence[str]) -> PlanRequest:
    """Checks the command line and reads the listings. Raises UsageError with all problems."""
    arguments = checker.arguments
    speech_folder = checker.folder("librispeech_metadata")
    noise_folder = checker.folder("wham_metadata")
    roots = {name: getattr(arguments, name) for name in ("librispeech", "wham")}
    given = [name for name, url in roots.items() if url]
    if len(given) == 1:
        checker.problems.append(f"--{given[0]} is given alone; gains need both --librispeech and --wham")
    request = PlanRequest(
        speech=_listings(checker, speech_folder, "librispeech") if speech_folder else {},
        noises=_listings(checker, noise_folder, "wham") if noise_folder else {},
        roots={name: storage.absolute(checker.folder(name)) for name in given},
        out=checker.needed("out"),
        speakers=checker.whole_number("speakers"),
        seed=checker.whole_number("seed", at_least=0),
        round_to=checker.whole_number("round_to", at_least=0),
        dev_test_size=checker.whole_number("dev_test_size"),
        shard_size=checker.whole_number("shard_size"),
        limit=checker.reject_limit(),
        workers=arguments.workers,
        passed_on=tuple(passed_on),
        quiet=arguments.quiet,
        verbose=arguments.verbose,
    )
    checker.raise_problems()
    return request


def _listings(checker: Checker, folder: str, kind: str) -> dict[str, Any]:
    """Reads the listings that a run uses: of speech in the order of ``--subsets``, all of noise."""
    found = checker.attempt(
        lambda: [name.removesuffix(".csv") for name in storage.list_folder(folder) if name.endswith(".csv")],
        [],
    )
    wanted = found if kind == "wham" else [name for name in checker.arguments.subsets if name in found]
    if not wanted:
        looked_for = (
            "any .csv" if kind == "wham" else ", ".join(f"{name}.csv" for name in checker.arguments.subsets)
        )
        checker.problems.append(
            f"{folder}: holds no listing to plan from (looked for {looked_for}; found {found})"
        )
    read = read_noises if kind == "wham" else read_utterances
    return {
        name: checker.attempt(functools.partial(read, storage.join(folder, f"{name}.csv")), [])
        for name in wanted
    }


def write_plans(request: PlanRequest, subsets: Sequence[PlannedSubset]) -> int:
    """Measures gains where there is audio, and writes the plans of all subsets.

    Returns:
        The exit status. Raises MixtapeError when the run breaks off.
    """
    started = time.monotonic()
    tree = OutputTree(request.out)
    check_writable(tree)
    with storage.only_run(tree):
        tree.remove_temporary()
        target = PlanTarget(tree, request.speakers, request.shard_size, with_gains=bool(request.roots))
        if request.roots:
            counters = runner.run_pipeline(
                functools.partial(build, roots=request.roots, target=target, subsets=subsets),
                passed_on=request.passed_on,
                workers=request.workers,
                verbose=request.verbose,
            )
        else:
            counters = {}
            for subset in subsets:
                target.write(subset.listing_name, list(map(to_mixture, subset.mixtures)))
        tree.remove_temporary()
    rejected = counters.get("items_rejected", 0)
    planned = sum(len(subset.mixtures) for subset in subsets)
    if not request.quiet:
        _print_summary(request, subsets, rejected=rejected, seconds=time.monotonic() - started)
    return 0 if request.limit.allows(rejected, planned) else 1


def build(
    pipeline: Any, *, roots: Mapping[str, str], target: PlanTarget, subsets: Sequence[PlannedSubset]
) -> None:
    """Adds the measuring of all mixtures and the writing of their plans to a pipeline."""
    import apache_beam as beam

    from transforms.planning.measuring import GainRow, MeasureGains, PlanRow

    rows = [
        PlanRow(subset.listing_name, number, planned)
        for subset in subsets
        for number, planned in enumerate(subset.mixtures)
    ]
    by_listing = (
        pipeline
        | "PlannedMixtures" >> beam.Create(rows, reshuffle=False).with_output_types(PlanRow)
        # PlanRow
        | "MeasureGains" >> MeasureGains(roots)
        # GainRow
        | "NameListing" >> beam.Map(lambda row: (row.listing, row)).with_output_types(tuple[str, GainRow])
        # (listing name, GainRow)
        | "AwaitAll" >> beam.GroupByKey()
        # (listing name, GainRows in any order)
    )
    written = by_listing | "WritePlan" >> beam.Map(lambda pair: target.write(pair[0], _in_order(pair[1])))
    # rejects of a listing
    (
        pipeline
        | "Once" >> beam.Create([None], reshuffle=False)
        | "WriteRejects"
        >> beam.Map(lambda _, lists: target.write_rejects(lists), beam.pvalue.AsList(written))
        # None
    )


def _in_order(rows: Iterable[Any]) -> list[Mixture | Reject]:
    return [row.mixture or row.reject for row in sorted(rows, key=lambda row: row.number)]


def _print_summary(
    request: PlanRequest, subsets: Sequence[PlannedSubset], *, rejected: int, seconds: float
) -> None:
    planned = sum(len(subset.mixtures) for subset in subsets)
    print(f"planned {planned:,} = written {planned - rejected:,} + rejected {rejected:,}")
    for subset in subsets:
        path = librimix.plan_path(subset.listing_name, request.speakers)
        print(
            f"  {subset.listing_name}: {len(subset.mixtures):,} mixtures in {storage.join(request.out, path)}"
        )
    if not request.roots:
        print("without the audio (--librispeech, --wham) the plans have no gains and cannot be rendered")
    if any(not subset.mixtures for subset in subsets) and request.round_to > 1:
        print(f"fewer than {request.round_to} mixtures leave an empty plan; --round-to 1 keeps them")
    print(f"done in {runner.duration(seconds)}")
    if rejected:
        print(f"rejects, with reasons and what to do: {storage.join(request.out, REJECTS_PATH)}")
