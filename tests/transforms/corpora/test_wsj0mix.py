import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.corpora.wsj0mix import (
    below_root,
    find_plans,
    list_path,
    list_text,
    mixture_id,
    part_of,
    read_levels,
    read_plan,
    resolve_root,
    speaker_of,
    to_mixture,
    usable_level,
    utterance_id,
)
from transforms.errors import UsageError
from transforms.plan import Mixture, Part, Source
from transforms.rejects import Reject

GOLDEN = Path(__file__).parents[2] / "golden" / "wsj0mix"
LISTS = sorted(GOLDEN.glob("mix_*.txt"))

A, B, C = "si_tr_s/01t/01to030v.wav", "si_tr_s/40e/40ec026z.wav", "si_tr_s/20g/20gp027g.wav"
LEVELS = {"01to030v": 0.01, "40ec026z": 0.02, "20gp027g": 0.03}
LINE = f"wsj0/{A} 0.5 wsj0/{B} -0.5 "

WriteList = Callable[..., str]


@pytest.fixture
def write_list(tmp_path: Path) -> WriteList:
    """Returns ``write_list(*lines, name=...)``: writes a list, returns its path."""

    def write(*lines: str, name: str = "mix_2_spk_tr.txt") -> str:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    return write


def problems_of(url: str) -> tuple[str, ...]:
    with pytest.raises(UsageError) as caught:
        read_plan(url, LEVELS)
    return tuple(problem.replace(url, "LIST") for problem in caught.value.problems)


def ids_of(url: str) -> list[str]:
    return [mixture.id for mixture in read_plan(url, LEVELS).mixtures]


def names_in(folder: Path, levels: dict[str, float]) -> list[str]:
    """Names of all mixtures of all lists of a folder, as ``2speakers/tr/<id>``."""
    plans = [read_plan(url, levels) for url in find_plans([str(folder)])]
    assert not any(plan.rejects for plan in plans)
    return sorted(f"{p.part.corpus}/{p.part.subset}/{mixture.id}" for p in plans for mixture in p.mixtures)


# Names.


@pytest.mark.parametrize(
    ("snr_db", "text"),
    [
        (0.76421, "0.76421"),
        (2.0, "2"),
        (0.0, "0"),
        (-0.0, "-0"),
        (2.247015018217656, "2.247015"),
        (0.31905171624017403, "0.31905172"),
        (0.08511395569443858, "0.085113956"),
        (5.2094e-07, "5.2094e-07"),
        (-0.899467316231525, "-0.89946732"),
    ],
)
def test_ids_hold_snrs_with_8_digits(snr_db: float, text: str) -> None:
    assert mixture_id([A], [snr_db]) == f"01to030v_{text}"


def test_ids_join_utterances_and_snrs_in_turn() -> None:
    assert mixture_id([A, B, C], [1.5, -1.5, 0]) == "01to030v_1.5_40ec026z_-1.5_20gp027g_0"


@pytest.mark.parametrize(
    ("path", "name", "speaker"),
    [
        (A, "01to030v", "01t"),
        ("wsj0/si_dt_05/423/423p033x.wv1", "423p033x", "423"),
        ("SI_TR_S/01T/01TO030V.WV1", "01TO030V", "01T"),
        ("01to030v.wav", "01to030v", "01t"),
        ("si_tr_s/elsewhere/01to030v.wav", "01to030v", "01t"),
        ("si_tr_s/103/103-1240-0000.flac", "103-1240-0000", "103"),
        ("si_tr_s/anna/recordin.wav", "recordin", "anna"),
        ("si_tr_s/anna/01to030.wav", "01to030", "anna"),
        ("si_tr_s/anna/a.b.wav", "a.b", "anna"),
        ("a.wav", "a", ""),
    ],
)
def test_utterances_and_speakers_are_told_by_path(path: str, name: str, speaker: str) -> None:
    assert utterance_id(path) == name
    assert speaker_of(path) == speaker


def test_lists_and_parts_are_named_as_published() -> None:
    assert list_path(3, "cv") == "mix_3_spk_cv.txt"
    assert part_of(3, "cv") == Part("wsj0mix", "3speakers", "cv")


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("wsj0/si_tr_s/a.wav", "si_tr_s/a.wav"),
        ("si_tr_s/a.wav", "si_tr_s/a.wav"),
        ("wsj0/wsj0/a.wav", "wsj0/a.wav"),
        ("wsj01/a.wav", "wsj01/a.wav"),
    ],
)
def test_paths_of_plans_are_below_wsj0(path: str, below: str) -> None:
    assert below_root(path) == below


def test_either_folder_serves_as_root(tmp_path: Path) -> None:
    (tmp_path / "csr" / "wsj0" / "si_tr_s").mkdir(parents=True)
    inner = str(tmp_path / "csr" / "wsj0")
    assert resolve_root(str(tmp_path / "csr")) == inner
    assert resolve_root(inner) == inner


# Lists that are good.


def test_a_line_becomes_a_mixture(write_list: WriteList) -> None:
    plan = read_plan(write_list(LINE), LEVELS)
    assert plan.part == Part("wsj0mix", "2speakers", "tr")
    assert plan.rejects == ()
    assert plan.mixtures == (
        Mixture(
            "01to030v_0.5_40ec026z_-0.5",
            (
                Source("s1", "wsj0", A, "active_level", 0.5, active_power=0.01, speaker="01t"),
                Source("s2", "wsj0", B, "active_level", -0.5, active_power=0.02, speaker="40e"),
            ),
        ),
    )


@pytest.mark.parametrize(
    "line",
    [
        f"wsj0/{A} 0.5 wsj0/{B} -0.5",
        f"  wsj0/{A}  0.5 wsj0/{B}\t-0.5   ",
        f"wsj0/{A} 0.5 wsj0/{B} -0.5 \r",
        f"{A} 0.5 {B} -0.5",
        f"wsj0/{A} 5e-1 wsj0/{B} -50.00E-2",
    ],
)
def test_blanks_and_ways_of_writing_numbers_mean_nothing(write_list: WriteList, line: str) -> None:
    assert read_plan(write_list("", line, "  "), LEVELS) == read_plan(write_list(LINE), LEVELS)


def test_small_numbers_are_read_exactly(write_list: WriteList) -> None:
    url = write_list(f"wsj0/{A} 5.2094e-07 wsj0/{B} -0.31905171624017403")
    (mixture,) = read_plan(url, LEVELS).mixtures
    assert [source.level for source in mixture.sources] == [5.2094e-07, -0.31905171624017403]
    assert mixture.id == "01to030v_5.2094e-07_40ec026z_-0.31905172"


def test_a_negative_zero_is_kept_in_a_fractional_column_only(write_list: WriteList) -> None:
    whole = write_list(f"{A} 0 {B} -0", f"{A} 2 {B} -2")
    assert ids_of(whole) == ["01to030v_0_40ec026z_0", "01to030v_2_40ec026z_-2"]
    fractional = write_list(f"{A} 0 {B} -0", f"{A} 2 {B} -2.5")
    assert ids_of(fractional) == ["01to030v_0_40ec026z_-0", "01to030v_2_40ec026z_-2.5"]
    point = write_list(f"{A} -0 {B} -0.0", f"{A} 2 {B} -2")
    assert ids_of(point) == ["01to030v_0_40ec026z_-0", "01to030v_2_40ec026z_-2"]


def test_rejected_mixtures_count_for_the_kind_of_a_column(write_list: WriteList) -> None:
    url = write_list(f"{A} 0 {B} -0", f"{A} 2 unknown.wav -2.5")
    assert ids_of(url) == ["01to030v_0_40ec026z_-0"]


def test_short_lines_do_not_count_for_the_kind_of_a_column(write_list: WriteList) -> None:
    assert ids_of(write_list(f"{A} 0 {B} -0", f"{A} 0.5 {B}")) == ["01to030v_0_40ec026z_0"]


def test_one_utterance_may_stand_twice_in_a_line(write_list: WriteList) -> None:
    assert ids_of(write_list(f"{A} 1 {A} -1")) == ["01to030v_1_01to030v_-1"]


def test_ids_of_five_speakers_with_all_digits_are_good(write_list: WriteList) -> None:
    url = write_list(" ".join(f"{A} -{n}.234567890123456e-05" for n in range(1, 6)), name="mix_5_spk_tt.txt")
    (name,) = ids_of(url)
    assert len(name) == 5 * len("01to030v_-1.2345679e-05") + 4


# Published lists.


def test_golden_lists_give_the_names_of_the_files() -> None:
    names = (GOLDEN / "expected_names.txt").read_text().split("\n")[:-1]
    assert names_in(GOLDEN, read_levels([str(GOLDEN / "activlev")])) == sorted(names)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.stem)
def test_golden_lists_are_written_back(path: Path) -> None:
    plan = read_plan(str(path), read_levels([str(GOLDEN / "activlev")]))
    speakers = len(plan.mixtures[0].sources)
    assert plan.part == part_of(speakers, path.stem[-2:])
    # Of 4 and 5 speakers the golden lists write 2 as "2.0"; the published lists write it as "2".
    assert list_text(plan.mixtures) == re.sub(r"\.0(?=[ \n])", "", path.read_text())


@pytest.mark.golden
def test_all_golden_names(shared_golden: Path) -> None:
    folder = shared_golden / "wsj0mix"
    manifest = (folder / "expected_render.csv").read_text().split("\n")[1:-1]
    parts = [line.partition(",")[0].removesuffix(".wav").split("/") for line in manifest]
    wanted = {f"{corpus}/{condition}/{name}" for corpus, _, _, condition, _, name in parts}
    levels = read_levels([str(folder / "corpus" / "metadata" / "activlev")])
    assert names_in(folder / "corpus" / "metadata", levels) == sorted(wanted)


@pytest.mark.golden
@pytest.mark.parametrize("speakers", [2, 3])
def test_official_lists_are_read_and_written_back(
    speakers: int, shared_golden: Path, write_list: WriteList
) -> None:
    official = shared_golden / "wsj0mix" / "official_sample"
    text = (official / f"mix_{speakers}_spk_tt.first200.txt").read_text()
    url = write_list(*text.split("\n")[:-1], name=f"mix_{speakers}_spk_tt.txt")
    plan = read_plan(url, read_levels([str(official / "activlev")]))
    assert (len(plan.mixtures), plan.rejects) == (200, ())
    assert list_text(plan.mixtures) == text
    for mixture in plan.mixtures:
        assert [source.path.split("/")[1] for source in mixture.sources] == [
            source.speaker for source in mixture.sources
        ]


# Rejects.


def test_a_mixture_without_a_level_is_rejected_and_the_others_are_not(write_list: WriteList) -> None:
    url = write_list(LINE, f"wsj0/{A} 1 wsj0/si_tr_s/x/x.wav -1 ", f"wsj0/{C} 1 wsj0/{B} -1 ")
    plan = read_plan(url, LEVELS)
    assert [mixture.id for mixture in plan.mixtures] == [
        "01to030v_0.5_40ec026z_-0.5",
        "20gp027g_1_40ec026z_-1",
    ]
    assert plan.rejects == (
        Reject(
            "01to030v_1_x_-1",
            "wsj0:si_tr_s/x/x.wav",
            "plan",
            "has no activity level; wanted a mean square above 0",
            "measure it (mixtape activity), or take the line out of the list",
        ),
    )


@pytest.mark.parametrize("level", [0.0, -0.0, -0.5, float("nan"), float("inf")])
def test_a_level_that_cannot_be_divided_by_rejects(write_list: WriteList, level: float) -> None:
    levels = {**LEVELS, "01to030v": level}
    assert usable_level(levels, A) is None
    plan = read_plan(write_list(LINE), levels)
    assert plan.mixtures == ()
    (reject,) = plan.rejects
    assert reject.source == f"wsj0:{A}"
    assert reject.reason == f"has the activity level {level!r}; wanted a mean square above 0"


def test_an_item_is_rejected_once_however_many_levels_it_lacks(write_list: WriteList) -> None:
    assert [reject.source for reject in read_plan(write_list(LINE), {}).rejects] == [f"wsj0:{A}"]


def test_a_short_line_is_rejected(write_list: WriteList) -> None:
    url = write_list(LINE, f"wsj0/{C} 1 wsj0/{B} ", f"wsj0/{C}")
    plan = read_plan(url, LEVELS)
    assert len(plan.mixtures) == 1
    assert [(reject.item, reject.source, reject.stage) for reject in plan.rejects] == [
        ("mix_2_spk_tr.txt:2", url, "plan"),
        ("mix_2_spk_tr.txt:3", url, "plan"),
    ]
    assert plan.rejects[0].reason == (
        "the line has 3 fields, wanted 4, a path and an SNR for each of 2 speakers"
    )


# Lists that are bad.


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"{C} x {B} 1", "SNR 'x' is not a number"),
        (f"{C} 1_0 {B} 1", "SNR '1_0' is not a number"),
        (f"{C} nan {B} 1", "level nan of s1 is not a finite number"),
        (f"{C} 1 {B} -inf", "level -inf of s2 is not a finite number"),
        (f"{C} 1 wsj0/../{B} 1", f"path '../{B}' of s2 must be relative and stay below its root"),
        (f"{C} 1 /{B} 1", f"path '/{B}' of s2 must be relative and stay below its root"),
        (f"{C} 1 a\\b.wav 1", "id '20gp027g_1_a\\\\b_1' may hold letters, digits"),
        (f"{C} 1 s3://{B} 1", f"path 's3://{B}' of s2 must be relative"),
        (f"{C} 1 a/~.wav 1", "id '20gp027g_1_~_1' may hold letters, digits"),
        (f"{C} 1 {'a' * 200}.wav 1", f"id '20gp027g_1_{'a' * 200}_1' is longer than 200 characters"),
        (f"{C} 1 {B} 1 {A}", "5 fields, wanted 4, a path and an SNR for each of 2 speakers"),
        (f"{C} 1 {B} 1 {A} 0", "6 fields, wanted 4"),
        (LINE, "'01to030v_0.5_40ec026z_-0.5' is on line 1 already"),
        (f"{A} 0.500000001 x/40ec026z.wav -.5", "'01to030v_0.5_40ec026z_-0.5' is on line 1 already"),
    ],
)
def test_bad_lines_are_named_by_number(write_list: WriteList, line: str, problem: str) -> None:
    found = problems_of(write_list(LINE, "", line))
    assert found[0].startswith(f"LIST, line 3: {problem}")


def test_rejected_mixtures_may_not_repeat_an_id(write_list: WriteList) -> None:
    line = f"{A} 1 x.wav -1"
    assert problems_of(write_list(LINE, line, line)) == (
        "LIST, line 3: '01to030v_1_x_-1' is on line 2 already; remove one of them",
    )


def test_all_problems_of_a_list_are_named_together(write_list: WriteList) -> None:
    found = problems_of(write_list(f"{A} x {B} y", LINE, f"{A} 1 ../b.wav nan", LINE, f"{A} 1 {B} 1 1"))
    assert [problem.partition(":")[0] for problem in found] == [
        "LIST, line 1",
        "LIST, line 1",
        "LIST, line 3",
        "LIST, line 3",
        "LIST, line 4",
        "LIST, line 5",
    ]


def test_many_problems_are_counted(write_list: WriteList) -> None:
    found = problems_of(write_list(*(f"{A} x {B} {n}" for n in range(50))))
    assert len(found) == 21
    assert found[-1] == "and 30 more problems of this kind"


def test_a_list_of_other_speakers_than_its_name_tells_is_refused(write_list: WriteList) -> None:
    three = f"{A} 1 {B} -1 {C} 0"
    with pytest.raises(
        UsageError, match="named as a list of 2 speakers, and its lines have 6 fields, wanted 4"
    ):
        read_plan(write_list(three, three, f"{A} 1 {B}"), LEVELS)
    assert len(read_plan(write_list(three, name="mix_3_spk_cv.txt"), LEVELS).mixtures) == 1


@pytest.mark.parametrize("lines", [(), ("",), ("  ", "\t")])
def test_an_empty_list_is_refused(write_list: WriteList, lines: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="holds no mixture; fetch it again, or plan again"):
        read_plan(write_list(*lines), LEVELS)


def test_a_list_that_is_no_text_or_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mix_2_spk_tr.txt"
    with pytest.raises(UsageError, match="no such file"):
        read_plan(str(path), LEVELS)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="is not UTF-8 text"):
        read_plan(str(path), LEVELS)


@pytest.mark.parametrize(
    "name",
    ["mix_2_spk_xx.txt", "mix_02_spk_tr.txt", "mix_0_spk_tr.txt", "mix_2_spk_tr.csv", "a_mix_2_spk_tr.txt"],
)
def test_a_file_that_is_not_named_like_a_list_is_refused(write_list: WriteList, name: str) -> None:
    url = write_list(LINE, name=name)
    with pytest.raises(UsageError, match=r"is not named like a list; wanted mix_<N>_spk_<tr, cv or tt>.txt"):
        read_plan(url, LEVELS)
    with pytest.raises(UsageError, match="is not named like a list"):
        find_plans([url])


# Finding lists.


def test_lists_are_found_in_folders_and_by_name(write_list: WriteList, tmp_path: Path) -> None:
    (tmp_path / "a" / "activlev").mkdir(parents=True)
    first = write_list(LINE, name="a/mix_3_spk_tt.txt")
    second = write_list(LINE, name="a/mix_2_spk_tr.txt")
    write_list("01to030v 1", name="a/activlev/activlev_si_tr_s.txt")
    third = write_list(LINE, name="mix_10_spk_cv.txt")
    assert find_plans([third, str(tmp_path / "a"), first]) == [third, second, first]


def test_all_that_is_wrong_with_what_is_named_is_said(write_list: WriteList, tmp_path: Path) -> None:
    for name in ("a", "b", "empty"):
        (tmp_path / name).mkdir()
    first = write_list(LINE, name="a/mix_2_spk_tr.txt")
    second = write_list(LINE, name="b/mix_2_spk_tr.txt")
    write_list(LINE, name="empty/readme.txt")
    missing, odd = str(tmp_path / "missing"), write_list(LINE, name="odd.txt")
    with pytest.raises(UsageError) as caught:
        find_plans([first, second, missing, odd, str(tmp_path / "empty")])
    found = sorted(problem.replace(str(tmp_path), "DIR") for problem in caught.value.problems)
    form = "mix_<N>_spk_<tr, cv or tt>.txt (for instance mix_2_spk_tr.txt)"
    assert found == [
        "DIR/a/mix_2_spk_tr.txt and DIR/b/mix_2_spk_tr.txt are both lists of 2speakers tr; "
        "name one of them only",
        f"DIR/empty: holds no list; looked for {form} at any depth among 1 TXT files",
        "DIR/missing: no such list or folder; check the path",
        f"DIR/odd.txt: is not named like a list; wanted {form}",
    ]


# Writing lists.


@pytest.mark.parametrize(
    ("snrs_db", "line"),
    [
        ((1.23456789, -1.23456789), "wsj0/a.wav 1.2346 wsj0/b.wav -1.2346 \n"),
        ((2.0, -2.0, 0.0), "wsj0/a.wav 2 wsj0/b.wav -2 wsj0/c.wav 0 \n"),
        ((5.2094e-07, -0.0, 0.0), "wsj0/a.wav 5.2094e-07 wsj0/b.wav -0 wsj0/c.wav 0 \n"),
        (
            (0.31905171624017403, 2.0, -2.0, -0.31905171624017403),
            "wsj0/a.wav 0.31905171624017403 wsj0/b.wav 2 wsj0/c.wav -2 wsj0/d.wav -0.31905171624017403\n",
        ),
        (
            (1.5, 1e-07, 0.0, 10.0, 0.0),
            "wsj0/a.wav 1.5 wsj0/b.wav 1e-07 wsj0/c.wav 0 wsj0/d.wav 10 wsj0/e.wav 0\n",
        ),
    ],
)
def test_lists_have_the_published_form(snrs_db: tuple[float, ...], line: str) -> None:
    paths = [f"{name}.wav" for name in "abcde"[: len(snrs_db)]]
    assert list_text([to_mixture(paths, snrs_db, [1.0] * len(paths))]) == line


@given(st.lists(st.floats(-2.5, 2.5), min_size=4, max_size=5))
def test_long_lists_keep_every_double(snrs_db: list[float]) -> None:
    paths = [f"si_tr_s/x/{n}.wav" for n in range(len(snrs_db))]
    text = list_text([to_mixture(paths, snrs_db, [1.0] * len(paths))])
    assert [float(number) for number in text.split()[1::2]] == snrs_db
    assert [below_root(path) for path in text.split()[::2]] == paths


# Activity levels.


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    folder = tmp_path / "activlev"
    (folder / "deeper").mkdir(parents=True)
    (folder / "b.txt").write_text("y 2.5717652515284110e-04 \nz 3\n\n")
    (folder / "a_txt").write_text("x 1\ny 7\n")
    (folder / "levels.csv").write_text("x,9\n")
    (folder / "deeper" / "c.txt").write_text("x 9\n")
    return folder


def test_tables_of_a_folder_are_merged_in_order_and_the_last_wins(tables: Path) -> None:
    assert read_levels([str(tables)]) == {"x": 1.0, "y": 2.571765251528411e-04, "z": 3.0}


def test_tables_count_in_the_order_they_are_named(tables: Path) -> None:
    first, second = str(tables / "a_txt"), str(tables / "b.txt")
    assert read_levels([second, first])["y"] == 7.0
    assert read_levels([first, second])["y"] == 2.571765251528411e-04


def test_unusable_levels_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x 0\ny -1\nz inf\n")
    levels = read_levels([str(tmp_path / "a.txt")])
    assert levels == {"x": 0.0, "y": -1.0, "z": float("inf")}
    assert [usable_level(levels, f"{name}.wav") for name in "xyzw"] == [None] * 4
    assert usable_level({"x": 5e-324}, "a/x.flac") == 5e-324


def test_all_that_is_wrong_with_tables_is_said(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "bad.txt").write_text("x 1\ny\nz 1 2\nx one\n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xff")
    with pytest.raises(UsageError) as caught:
        read_levels([str(tmp_path / name) for name in ("bad.txt", "missing.txt", "folder", "binary.txt")])
    found = [problem.replace(str(tmp_path), "DIR") for problem in caught.value.problems]
    assert found == [
        "DIR/bad.txt, line 2: 'y'; wanted an utterance and its level",
        "DIR/bad.txt, line 3: 'z 1 2'; wanted an utterance and its level",
        "DIR/bad.txt, line 4: 'x one'; wanted an utterance and its level",
        "DIR/missing.txt: no such file or folder; check the path",
        "DIR/folder: holds no table of activity levels; looked for names that end in txt",
        "DIR/binary.txt: is not UTF-8 text (invalid start byte)",
    ]


def test_lists_given_as_levels_are_refused(write_list: WriteList) -> None:
    with pytest.raises(UsageError, match=r"line 1: 'wsj0/si_tr_s/.*'; wanted an utterance and its level"):
        read_levels([write_list(LINE)])
