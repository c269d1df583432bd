"""``mixtape plan librimix``: listings in, plans out; with the audio, gains too."""

import argparse
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pipelines.arguments import LIBRIMIX_SUBSETS
from pipelines.checks import Checker
from pipelines.output import check_writable, conclude
from pipelines.runner import Running, counted, duration, run_pipeline
from transforms import storage
from transforms.corpora import librimix
from transforms.listing import NoiseClip, Utterance, read_noises, read_utterances
from transforms.planning import plan_work
from transforms.planning.librimix import PlannedMixture, PlannedSubset, plan_subsets, to_mixture
from transforms.planning.plan_files import PlanFiles
from transforms.planning.plan_work import PlanRow
from transforms.recipes import LIBRIMIX
from transforms.rejects import RejectLimit
from transforms.storage import OutputTree

Row = TypeVar("Row")


@dataclass(frozen=True)
class PlanChoices:
    """What a person may choose about plans of LibriMix.

    Attributes:
        speakers: utterances per mixture.
        seed: seed of the random stream.
        round_to: plans are cut to a multiple of this.
        dev_test_size: mixtures of a subset that is not for training.
        shard_size: mixtures per shard.
    """

    speakers: int
    seed: int
    round_to: int
    dev_test_size: int
    shard_size: int


@dataclass(frozen=True)
class PlanRequest:
    """A checked command line of ``plan librimix``, with the listings read.

    Attributes:
        speech: rows of every speech listing by name, in the order of the random stream.
        noises: rows of every noise listing by name.
        roots: URL of the audio by root name; empty to plan without gains.
        out: where the plans go.
        choices: numbers that decide what is planned.
        limit: rejects that a good run may have.
        force: make plans anew that still hold.
        running: on which runner, with how many workers.
    """

    speech: dict[str, list[Utterance]]
    noises: dict[str, list[NoiseClip]]
    roots: dict[str, str]
    out: str
    choices: PlanChoices
    limit: RejectLimit
    force: bool
    running: Running

    def subsets(self) -> list[PlannedSubset]:
        """Chooses utterances and noises of all subsets. Raises UsageError."""
        return plan_subsets(
            self.speech,
            self.noises,
            speakers=self.choices.speakers,
            seed=self.choices.seed,
            round_to=self.choices.round_to,
            dev_test_size=self.choices.dev_test_size,
        )


def run(arguments: argparse.Namespace, passed_on: list[str]) -> int:
    """Runs the command. Raises MixtapeError; returns the exit status."""
    checker = Checker(arguments)
    request = make_request(checker, passed_on)
    subsets = request.subsets()
    if arguments.dry_run:
        for subset in subsets:
            hours = duration(sum(map(_playing_s, subset.mixtures)))
            print(f"{subset.listing_name}: {counted(len(subset.mixtures), 'mixture')}, {hours}")
        print("dry run: nothing was written")
        return 0
    return write_plans(request, subsets)


def _playing_s(planned: PlannedMixture) -> float:
    """Returns how long a mixture lasts that no utterance is cut in."""
    longest = max(utterance.length_samples for utterance in planned.utterances)
    return longest / LIBRIMIX.rules.source_rate_hz


def read_choices(checker: Checker) -> PlanChoices:
    """Reads the numbers of a command line that decide what is planned."""
    return PlanChoices(
        speakers=checker.whole_number("speakers"),
        seed=checker.whole_number("seed", at_least=0),
        round_to=checker.whole_number("round_to", at_least=0),
        dev_test_size=checker.whole_number("dev_test_size"),
        shard_size=checker.whole_number("shard_size"),
    )


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
        speech=_speech_listings(checker, speech_folder) if speech_folder else {},
        noises=_noise_listings(checker, noise_folder) if noise_folder else {},
        roots={name: storage.absolute(checker.folder(name)) for name in given},
        out=OutputTree(checker.needed("out")).root,
        choices=read_choices(checker),
        limit=checker.reject_limit(),
        force=arguments.force,
        running=checker.running(passed_on),
    )
    checker.raise_problems()
    return request


def _speech_listings(checker: Checker, folder: str) -> dict[str, list[Utterance]]:
    """Reads the speech listings of a run, in the order of the random stream."""
    found: list[str] = checker.attempt(lambda: _listings_in(folder), [])
    asked = checker.arguments.subsets
    wanted = [name for name in asked or LIBRIMIX_SUBSETS if asked or name in found]
    missing = sorted(set(wanted) - set(found))
    if missing or not wanted:
        looked_for = " ".join(f"{name}.csv" for name in missing or LIBRIMIX_SUBSETS)
        checker.problems.append(f"{folder}: has no listing {looked_for}; it has {' '.join(found) or 'none'}")
    return _read_all(checker, folder, [name for name in wanted if name in found], read_utterances)


def _noise_listings(checker: Checker, folder: str) -> dict[str, list[NoiseClip]]:
    """Reads all noise listings."""
    found: list[str] = checker.attempt(lambda: _listings_in(folder), [])
    if not found:
        checker.problems.append(f"{folder}: has no listing; looked for train.csv, dev.csv, test.csv")
    return _read_all(checker, folder, found, read_noises)


def _listings_in(folder: str) -> list[str]:
    names = storage.list_folder(folder)
    return [name.removesuffix(".csv") for name in names if name.endswith(".csv")]


def _read_all(
    checker: Checker, folder: str, names: Sequence[str], read: Callable[[str], list[Row]]
) -> dict[str, list[Row]]:
    urls = {name: storage.join(folder, f"{name}.csv") for name in names}
    return {name: checker.attempt(functools.partial(read, url), []) for name, url in urls.items()}


def write_plans(request: PlanRequest, subsets: Sequence[PlannedSubset]) -> int:
    """Measures gains where there is audio, and writes the plans of all subsets.

    Returns:
        The exit status. Raises MixtapeError when the run breaks off.
    """
    started = time.monotonic()
    tree = OutputTree(request.out)
    check_writable(tree)
    with storage.only_run(tree):
        choices = request.choices
        files = PlanFiles(
            tree, choices.speakers, choices.shard_size, request.roots, force=request.force
        ).for_subsets(subsets)
        stale = [subset for subset in subsets if request.force or not files.stands(subset.listing_name)]
        _write_stale(request, files, stale)
        files.write_rejects()
    rejected = len(files.rejects())
    planned = sum(len(subset.mixtures) for subset in subsets)
    if not request.running.quiet:
        print(f"planned {planned:,} = written {planned - rejected:,} + rejected {rejected:,}")
        _print_summary(request, subsets, made=len(stale), seconds=time.monotonic() - started)
    quiet = request.running.quiet
    return conclude(tree, request.limit, rejected=rejected, planned=planned, quiet=quiet)


def _write_stale(request: PlanRequest, files: PlanFiles, subsets: Sequence[PlannedSubset]) -> None:
    """Writes the plans of subsets, measuring gains on the runner where there is audio."""
    if not request.roots:
        for subset in subsets:
            files.write(subset.listing_name, [to_mixture(planned) for planned in subset.mixtures])
    elif subsets:
        names = plan_work.store_rows(files.tree, rows_to_measure(files, subsets))
        listings = [subset.listing_name for subset in subsets]
        told = plan_work.store_facts(files, listings)
        run_pipeline(functools.partial(build, files=told, names=names, listings=listings), request.running)
    plan_work.clear(files.tree)


def rows_to_measure(files: PlanFiles, subsets: Sequence[PlannedSubset]) -> Iterator[PlanRow]:
    """Yields the mixtures whose gains no earlier run measured."""
    for subset in subsets:
        kept = files.kept_rows(subset.listing_name)
        for number, planned in enumerate(subset.mixtures):
            if number not in kept:
                yield PlanRow(subset.listing_name, number, planned)


def build(pipeline: Any, *, files: PlanFiles, names: Sequence[str], listings: Sequence[str]) -> None:
    """Adds the measuring of mixtures and the writing of plans to a pipeline.

    Args:
        pipeline: gets the steps.
        files: where the plans go; it is stored there what they are made from.
        names: files there with the mixtures to be measured.
        listings: names of the listings to be written.
    """
    import apache_beam as beam

    from transforms.planning.steps import MeasureGains, ReadPlanRows, WritePlans

    (
        pipeline
        | "RowFiles" >> beam.Create(names, reshuffle=False).with_output_types(str)
        # name of a file
        | "ReadRows" >> ReadPlanRows(files.tree)
        # PlanRow
        | "MeasureGains" >> MeasureGains(files.roots)
        # GainRow
        | "WritePlans" >> WritePlans(files, listings)
        # None
    )


def empty_plan_hints(subsets: Sequence[PlannedSubset], round_to: int) -> list[str]:
    """Says why plans are empty, if any of them is and rounding can be the reason."""
    if round_to > 1 and not all(subset.mixtures for subset in subsets):
        return [f"fewer than {round_to} mixtures leave an empty plan; --round-to 1 keeps them"]
    return []


def _print_summary(
    request: PlanRequest, subsets: Sequence[PlannedSubset], *, made: int, seconds: float
) -> None:
    for subset in subsets:
        url = storage.join(request.out, librimix.plan_path(subset.listing_name, request.choices.speakers))
        print(f"  {subset.listing_name}: {counted(len(subset.mixtures), 'mixture')} planned, in {url}")
    if not request.roots:
        print("without the audio (--librispeech, --wham) the plans have no gains and cannot be rendered")
    for hint in empty_plan_hints(subsets, request.choices.round_to):
        print(hint)
    done = f"{counted(made, 'plan')} made in {duration(seconds)}"
    print(done if made else "nothing to do: all plans stand")
