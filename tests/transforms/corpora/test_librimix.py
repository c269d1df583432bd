import csv
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest

from transforms.corpora.librimix import (
    find_plans,
    info_csv,
    info_path,
    part_of,
    plan_csv,
    plan_path,
    read_plan,
)
from transforms.errors import UsageError
from transforms.plan import Mixture, Part, Source

GOLDEN = Path(__file__).parents[2] / "golden" / "librimix" / "plan"
PLANS = sorted(path for path in GOLDEN.rglob("*.csv") if "info" not in path.name)

HEADER = "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain"
ROW = "1-2-3_4-5-6,dev/1-2-3.flac,0.5,dev/4-5-6.flac,1.25,cv/a.wav,2"
INFO_HEADER = "mixture_ID,speaker_1_ID,speaker_1_sex,speaker_2_ID,speaker_2_sex"

WritePlan = Callable[..., str]


@pytest.fixture
def write_plan(tmp_path: Path) -> WritePlan:
    """Returns ``write_plan(*lines, name=..., info=None)``: writes a plan, returns its path."""

    def write(*lines: str, name: str = "libri2mix_dev-clean.csv", info: tuple[str, ...] | None = None) -> str:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        if info is not None:
            path.with_name(path.stem + "_info.csv").write_text("".join(f"{line}\n" for line in info))
        return str(path)

    return write


def problems_of(url: str) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        read_plan(url)
    return tuple(problem.replace(url, "PLAN").replace(url[:-4], "PLAN") for problem in caught.value.problems)


# Names.


@pytest.mark.parametrize(
    ("listing", "subset"),
    [
        ("train-clean-100", "train-100"),
        ("train-clean-360", "train-360"),
        ("dev-clean", "dev"),
        ("test-clean", "test"),
        ("train-other-500", "train-other-500"),
    ],
)
def test_parts_are_named_as_published(listing: str, subset: str) -> None:
    assert part_of(listing, 3) == Part("librimix", "Libri3Mix", subset)


def test_plans_stand_where_they_are_published() -> None:
    assert plan_path("dev-clean", 2) == "Libri2Mix/libri2mix_dev-clean.csv"
    assert info_path("dev-clean", 2) == "Libri2Mix/libri2mix_dev-clean_info.csv"


# Round trips.


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_published_plans_are_written_back_to_the_byte(path: Path) -> None:
    part, mixtures = read_plan(str(path))
    speakers = len(mixtures[0].speech)
    listing = path.stem.partition("_")[2]
    assert part == part_of(listing, speakers)
    assert plan_csv(mixtures, speakers, with_gains=True) == path.read_bytes()
    assert info_csv(mixtures, speakers) == path.with_name(f"{path.stem}_info.csv").read_bytes()


def test_a_row_becomes_a_mixture(write_plan: WritePlan) -> None:
    part, mixtures = read_plan(write_plan(HEADER, ROW))
    assert part == Part("librimix", "Libri2Mix", "dev")
    assert mixtures == [
        Mixture(
            "1-2-3_4-5-6",
            (
                Source("s1", "librispeech", "dev/1-2-3.flac", level=0.5, speaker="1"),
                Source("s2", "librispeech", "dev/4-5-6.flac", level=1.25, speaker="4"),
                Source("noise", "wham", "cv/a.wav", level=2.0, fit="loop", channel=0),
            ),
        )
    ]


def test_columns_may_stand_in_any_order_and_others_are_left_alone(write_plan: WritePlan) -> None:
    header, row = HEADER.split(","), ROW.split(",")
    turned = write_plan(
        ",".join([*reversed(header), "comment"]), ",".join([*reversed(row), "x"]), name="libri2mix_a.csv"
    )
    assert read_plan(turned)[1] == read_plan(write_plan(HEADER, ROW))[1]


@pytest.mark.parametrize("speakers", [1, 4])
def test_any_number_of_speakers(speakers: int, tmp_path: Path) -> None:
    sources = tuple(
        Source(f"s{n}", "librispeech", f"{n}-1.flac", speaker=str(n)) for n in range(1, speakers + 1)
    )
    noise = Source("noise", "wham", "a.wav", fit="loop", channel=0)
    mixtures = [Mixture("a", (*sources, noise))]
    path = tmp_path / f"libri{speakers}mix_mine.csv"
    path.write_bytes(plan_csv(mixtures, speakers, with_gains=True))
    assert read_plan(str(path)) == (Part("librimix", f"Libri{speakers}Mix", "mine"), mixtures)


@pytest.mark.parametrize(
    ("gain", "text"), [(1e-07, "1e-07"), (0.1 + 0.2, "0.30000000000000004"), (6.5, "6.5")]
)
def test_gains_are_the_shortest_text_of_the_double(gain: float, text: str) -> None:
    sources = (Source("s1", "librispeech", "a,b.flac", level=gain), Source("noise", "wham", "n.wav"))
    wanted = f'mixture_ID,source_1_path,source_1_gain,noise_path,noise_gain\na,"a,b.flac",{text},n.wav,1.0\n'
    assert plan_csv([Mixture("a", sources)], 1, with_gains=True).decode() == wanted


def test_a_plan_without_gains_has_paths_only() -> None:
    sources = (Source("s1", "librispeech", "a.flac"), Source("noise", "wham", "n.wav"))
    wanted = b"mixture_ID,source_1_path,noise_path\na,a.flac,n.wav\n"
    assert plan_csv([Mixture("a", sources)], 1, with_gains=False) == wanted


def test_a_plan_of_no_mixture_is_a_header_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "libri2mix_dev-clean.csv"
    path.write_bytes(plan_csv([], 2, with_gains=True))
    assert path.read_text() == HEADER + "\n"
    assert info_csv([], 2).decode() == INFO_HEADER + "\n"
    assert read_plan(str(path)) == (Part("librimix", "Libri2Mix", "dev"), [])


@pytest.mark.golden
def test_official_and_recorded_plans_are_read(shared_golden: Path) -> None:
    folder = shared_golden / "librimix"
    official = folder / "official" / "Libri2Mix" / "libri2mix_test-clean.csv"
    part, mixtures = read_plan(str(official))
    assert part == Part("librimix", "Libri2Mix", "test")
    assert len(mixtures) == 3000
    assert plan_csv(mixtures, 2, with_gains=True) == official.read_bytes()
    odd = read_plan(str(folder / "plan_extra" / "Libri2Mix" / "libri2mix_test-clean.csv"))[1]
    assert [source.level for source in odd[3].sources] == [0.33333333333333337, 1e-07, 2.5]


@pytest.mark.golden
@pytest.mark.parametrize("speakers", [2, 3])
def test_recorded_plans_without_gains_are_written_so(speakers: int, shared_golden: Path) -> None:
    for path in (shared_golden / "librimix" / "listing_only").glob(f"expected_libri{speakers}mix_*.csv"):
        with path.open() as file:
            rows = list(csv.reader(file))[1:]
        mixtures = [
            Mixture(key, tuple(Source(path, "librispeech", path) for path in paths)) for key, *paths in rows
        ]
        assert plan_csv(mixtures, speakers, with_gains=False) == path.read_bytes()


# The info file.


@pytest.mark.parametrize("speaker", ["4077.0", "4077", "4077.00"])
def test_readers_come_from_the_info_file(write_plan: WritePlan, speaker: str) -> None:
    info = (INFO_HEADER, f"1-2-3_4-5-6,{speaker},F,x.5,M")
    sources = read_plan(write_plan(HEADER, ROW, info=info))[1][0].speech
    assert [(source.speaker, source.sex) for source in sources] == [("4077", "F"), ("x.5", "M")]


def test_an_id_with_a_fraction_is_left_alone(write_plan: WritePlan) -> None:
    info = (INFO_HEADER, "1-2-3_4-5-6,4077.05,F,1.0.0,M")
    sources = read_plan(write_plan(HEADER, ROW, info=info))[1][0].speech
    assert [source.speaker for source in sources] == ["4077.05", "1.0.0"]


@pytest.mark.parametrize(
    ("info", "problem"),
    [
        pytest.param(
            (INFO_HEADER.replace("2_sex", "2_gender"), "1-2-3_4-5-6,1,F,4,M"),
            "PLAN_info.csv: wanted one column each of speaker_2_sex; found the columns mixture_ID, "
            "speaker_1_ID, speaker_1_sex, speaker_2_ID, speaker_2_gender",
            id="column",
        ),
        pytest.param(
            (INFO_HEADER, "1-2-3_4-5-6,1,F,4"), "PLAN_info.csv, line 2: 4 fields, wanted 5", id="fields"
        ),
        pytest.param(
            (INFO_HEADER, "1-2-3_4-5-6,1,F,4,M", "1-2-3_4-5-6,1,F,4,M"),
            "PLAN_info.csv, line 3: mixture_ID '1-2-3_4-5-6' is on line 2 already",
            id="twice",
        ),
        pytest.param(
            (INFO_HEADER, "other,1,F,4,M"),
            "PLAN, line 2: mixture_ID '1-2-3_4-5-6' is not in the info file; complete or remove that file",
            id="another mixture",
        ),
        pytest.param((), "PLAN_info.csv: the file is empty; fetch it again, or plan again", id="empty"),
    ],
)
def test_a_bad_info_file_is_a_problem(write_plan: WritePlan, info: tuple[str, ...], problem: str) -> None:
    assert problems_of(write_plan(HEADER, ROW, info=info)) == (problem,)


# Bad plans.


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ("a,x/1.flac,abc,2.flac,1,n.wav,1", "source_1_gain 'abc' is not a number"),
        ("a,x/1.flac,,2.flac,1,n.wav,1", "source_1_gain '' is not a number"),
        ("a,x/1.flac,1,2.flac,1_0,n.wav,1", "source_2_gain '1_0' is not a number"),
        ("a,x/1.flac,1,2.flac,1,n.wav,nan", "level nan of noise is not a finite number"),
        ("a,x/1.flac,1,2.flac,-inf,n.wav,1", "level -inf of s2 is not a finite number"),
        ("a,../1.flac,1,2.flac,1,n.wav,1", "path '../1.flac' of s1 must be relative and stay below its root"),
        ("a,1.flac,1,2.flac,1,/etc/n.wav,1", "path '/etc/n.wav' of noise must be relative"),
        ("a,1.flac,1,,1,n.wav,1", "path '' of s2 must be relative"),
        ("a/b,1.flac,1,2.flac,1,n.wav,1", "id 'a/b' may hold letters, digits"),
        ("..,1.flac,1,2.flac,1,n.wav,1", "id '..' may hold letters, digits"),
        (",1.flac,1,2.flac,1,n.wav,1", "id '' may hold letters, digits"),
        ("a,1.flac,1,2.flac,1,n.wav", "6 fields, wanted 7"),
        ("a,1.flac,1,2.flac,1,n.wav,1,9", "8 fields, wanted 7"),
        ("1-2-3_4-5-6,1.flac,1,2.flac,1,n.wav,1", "mixture_ID '1-2-3_4-5-6' is on line 2 already"),
    ],
)
def test_bad_rows_are_named_by_line(write_plan: WritePlan, fields: str, problem: str) -> None:
    (found,) = problems_of(write_plan(HEADER, ROW, fields))
    assert found.startswith(f"PLAN, line 3: {problem}")


def test_all_problems_of_a_plan_are_named_together(write_plan: WritePlan) -> None:
    url = write_plan(HEADER, "a,1.flac,x,/2.flac,nan,n.wav,1", ROW, "b,1", info=("mixture_ID",))
    found = problems_of(url)
    assert [problem.partition(":")[0] for problem in found] == [
        "PLAN, line 4",
        "PLAN_info.csv",
        "PLAN, line 2",
        "PLAN, line 2",
        "PLAN, line 2",
    ]


def test_many_problems_are_counted(write_plan: WritePlan) -> None:
    found = problems_of(write_plan(HEADER, *(f"a{n},1.flac,x,2.flac,1,n.wav,1" for n in range(50))))
    assert len(found) == 21
    assert found[-1].startswith("and 30 more")


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        (HEADER.replace("mixture_ID", "id"), "mixture_ID"),
        (HEADER.replace(",noise_path,noise_gain", ""), "noise_path, noise_gain"),
        (HEADER.replace("source_2_gain", "gain"), "source_2_gain"),
        (HEADER.replace("source_1_", "source_3_"), "source_1_path, source_1_gain"),
        (HEADER.replace("source_2_gain", "source_2_path"), "source_2_path, source_2_gain"),
        ("a;b;c", "mixture_ID, source_1_path, noise_path"),
    ],
)
def test_missing_columns_are_named(write_plan: WritePlan, header: str, missing: str) -> None:
    found = problems_of(write_plan(header, ROW))
    assert found == (
        f"PLAN: wanted one column each of {missing}; found the columns {', '.join(header.split(','))}",
    )


def test_a_plan_without_gains_cannot_be_rendered(write_plan: WritePlan) -> None:
    url = write_plan("mixture_ID,source_1_path,source_2_path,noise_path", "a,1.flac,2.flac,n.wav")
    assert problems_of(url) == (
        "PLAN: was planned without audio and has no gains; plan again with --librispeech and --wham to get "
        "gains",
    )


def test_name_and_columns_must_agree(write_plan: WritePlan) -> None:
    (found,) = problems_of(write_plan(HEADER, ROW, name="libri3mix_dev-clean.csv"))
    assert found == "PLAN: is named as a plan of Libri3Mix and has columns for 2 sources; rename it"


@pytest.mark.parametrize(
    "name",
    [
        "plan.csv",
        "libri2mix_dev-clean_info.csv",
        "libri0mix_dev.csv",
        "libri2mix_.csv",
        "libri2mix_-clean.csv",
        "libri2mix_a b.csv",
        "libri2mix_dev-clean.txt",
    ],
)
def test_a_file_not_named_like_a_plan_is_refused(write_plan: WritePlan, name: str) -> None:
    url = write_plan(HEADER, ROW, name=name)
    message = r": is not named like a plan; wanted libri<N>mix_<listing>.csv \(for instance"
    with pytest.raises(UsageError, match=message):
        read_plan(url)
    with pytest.raises(UsageError, match=message):
        find_plans([url])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"RIFF\xff\xfe\x00", "is not UTF-8 text"),
        (b"RIFF\x00\x00,WAVE\n", "is not a text file"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "libri2mix_dev-clean.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_plan(str(path))


def test_a_missing_plan_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"libri2mix_x.csv: no such file or folder; check the path"):
        read_plan(str(tmp_path / "libri2mix_x.csv"))


# Finding plans.


def test_folders_and_files_are_searched_and_other_files_left_alone(tmp_path: Path) -> None:
    names = ["Libri2Mix/libri2mix_b.csv", "Libri2Mix/libri2mix_a.csv", "deep/er/libri3mix_a.csv"]
    others = ["Libri2Mix/libri2mix_a_info.csv", "Storage_info.txt", "mixture_test_mix_both.csv"]
    for name in [*names, *others]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    plans = [str(tmp_path / name) for name in sorted(names)]
    assert find_plans([str(tmp_path)]) == plans
    assert find_plans([plans[2], str(tmp_path / "Libri2Mix")]) == [plans[2], *plans[:2]]
    assert find_plans([plans[0], str(tmp_path)]) == plans


def test_a_folder_without_plans_and_missing_ones_are_named_together(tmp_path: Path) -> None:
    (tmp_path / "mixture.csv").touch()
    with pytest.raises(UsageError) as caught:
        find_plans([str(tmp_path), str(tmp_path / "nothing"), str(tmp_path / "mixture.csv")])
    form = "libri<N>mix_<listing>.csv (for instance libri2mix_train-clean-100.csv)"
    assert [problem.removeprefix(str(tmp_path)) for problem in caught.value.problems] == [
        f": holds no plan; looked for {form} at any depth among 1 CSV files",
        "/nothing: no such plan or folder; check the path",
        f"/mixture.csv: is not named like a plan; wanted {form}",
    ]


def test_two_plans_of_one_subset_are_refused(tmp_path: Path) -> None:
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "libri2mix_dev-clean.csv").touch()
    message = (
        r"new/libri2mix_dev-clean.csv and .*old/.* are both plans of Libri2Mix dev; name one of them only"
    )
    with pytest.raises(UsageError, match=message):
        find_plans([str(tmp_path)])


def test_plans_are_found_and_read_in_any_store() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe("/plans/Libri2Mix/libri2mix_dev-clean.csv", f"{HEADER}\n{ROW}\n".encode())
    memory.pipe(
        "/plans/Libri2Mix/libri2mix_dev-clean_info.csv", f"{INFO_HEADER}\n1-2-3_4-5-6,7.0,F,8,M\n".encode()
    )
    try:
        (plan,) = find_plans(["memory://plans"])
        part, mixtures = read_plan(plan)
    finally:
        memory.rm("/plans", recursive=True)
    assert part.subset == "dev"
    assert [source.speaker for source in mixtures[0].speech] == ["7", "8"]
