"""A simulated cohort on disk: PTB-XL's and ECG-QA's layout, resumable, the same for any workers."""

import ast
import csv
import hashlib
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import EcgError
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.ecg_qa_questions import SHARD_SIZE, write_ecg_qa
from ecg_fairseq.records.simulated.layouts import ptb_xl as ptb_xl_layout
from ecg_fairseq.records.simulated.layouts.ptb_xl import write_layout as write_cohort
from ecg_fairseq.records.simulated.plan import draw_case, plan_cohort, simulate_case
from ecg_fairseq.records.simulated.ptb_xl_tables import (
    DATABASE_COLUMNS,
    STATEMENT_COLUMNS,
    database_row,
    labelled_record,
    scp_codes,
)
from ecg_fairseq.signal.simulator.leads import digitise

SETTINGS = CohortSettings(patients=40, seed=5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cohort")
    write_cohort(path, SETTINGS)
    return path


def rows_of(folder: Path) -> list[dict[str, str]]:
    with open(folder / "ptbxl_database.csv", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def entries(folder: Path, style: str = "template") -> Iterator[tuple[str, dict]]:
    root = folder / "ecg-qa" / "ecgqa" / "ptbxl"
    for split in ("train", "valid", "test"):
        for path in sorted((root / style / split).glob("*.json")):
            yield from ((split, entry) for entry in json.loads(path.read_text()))


def test_every_record_is_read_by_wfdb(folder: Path) -> None:
    rows = rows_of(folder)
    assert len(rows) == len(plan_cohort(40, 5)) > 40
    for row in rows[:8]:
        for column, fs_hz, length in (("filename_hr", 500, 5000), ("filename_lr", 100, 1000)):
            record = wfdb.rdrecord(str(folder / row[column]), physical=False)
            assert (record.fs, record.sig_len, record.n_sig) == (fs_hz, length, 12)
            assert record.checksum == record.calc_checksum()
            assert record.init_value == record.d_signal[0].tolist()
            assert record.sig_name[3:6] == ["AVR", "AVL", "AVF"]
            assert record.adc_gain == [1000.0] * 12
            one, two, three = record.d_signal.T[:3].astype(int)
            np.testing.assert_array_equal(two, one + three)
            assert 0.2 < np.ptp(record.d_signal) / 1000 < 15


def test_files_hold_what_was_simulated(folder: Path) -> None:
    planned = plan_cohort(40, 5)[6]
    signal = simulate_case(draw_case(planned, 5), 5, 500).signal
    record = wfdb.rdrecord(str(folder / "records500/00000/00007_hr"), physical=False)
    np.testing.assert_array_equal(record.d_signal.T, digitise(signal))


def test_tables_have_ptb_xls_columns(folder: Path, shared_dir: Path) -> None:
    original = shared_dir / "data" / "ptb-xl"
    for name, columns in (
        ("ptbxl_database.csv", DATABASE_COLUMNS),
        ("scp_statements.csv", STATEMENT_COLUMNS),
    ):
        header = (folder / name).read_text().splitlines()[0]
        assert header == (original / name).read_text().splitlines()[0] == ",".join(columns)
    with open(original / "scp_statements.csv", encoding="utf-8", newline="") as stream:
        theirs = {row[""]: row for row in csv.DictReader(stream)}
    with open(folder / "scp_statements.csv", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            for column in ("diagnostic", "form", "rhythm", "diagnostic_class"):
                assert row[column] == theirs[row[""]][column], (row[""], column)
            assert row["diagnostic_subclass"] == theirs[row[""]]["diagnostic_subclass"]


def test_rows_say_what_was_simulated(folder: Path) -> None:
    rows = rows_of(folder)
    with open(folder / "scp_statements.csv", encoding="utf-8", newline="") as stream:
        known = {row[""] for row in csv.DictReader(stream)}
    folds: dict[str, set[str]] = {}
    for planned, row in zip(plan_cohort(40, 5), rows, strict=True):
        case = draw_case(planned, 5)
        assert ast.literal_eval(row["scp_codes"]) == scp_codes(case.findings)
        assert set(scp_codes(case.findings)) <= known
        assert row["heart_axis"] == ("LAD" if case.findings.left_axis else "MID")
        noise = {"static": "static_noise", "burst": "burst_noise", "drift": "baseline_drift"}
        for kind, column in noise.items():
            assert bool(row[column]) == (case.findings.noise == kind)
        assert row["patient_id"].endswith(".0")
        assert 18 <= float(row["age"]) <= 95
        assert row["report"]
        folds.setdefault(row["patient_id"], set()).add(row["strat_fold"])
    assert all(len(found) == 1 for found in folds.values())
    assert {next(iter(found)) for found in folds.values()} == {str(n) for n in range(1, 11)}
    dates = [(row["patient_id"], row["recording_date"]) for row in rows]
    for before, after in itertools.pairwise(dates):
        assert before[0] != after[0] or before[1] <= after[1]


def test_questions_have_ecg_qas_layout(folder: Path, shared_dir: Path) -> None:
    original = shared_dir / "data" / "ecg-qa" / "ecgqa" / "ptbxl"
    sample = json.loads((original / "template" / "test" / "80000.json").read_text())[0]
    root = folder / "ecg-qa" / "ecgqa" / "ptbxl"
    raw = (root / "template" / "train" / "00000.json").read_text()
    loaded = json.loads(raw)
    assert list(loaded[0]) == list(sample)
    assert raw == json.dumps(loaded, indent=4)
    for name in ("answers.csv", "answers_for_each_template.csv"):
        header = (root / name).read_text().splitlines()[0]
        assert header == (original / name).read_text().splitlines()[0]
    with open(root / "answers_for_each_template.csv", encoding="utf-8", newline="") as stream:
        classes = {
            int(r["template_id"]): ast.literal_eval(r["classes"]) for r in csv.DictReader(stream)
        }
    with open(root / "answers.csv", encoding="utf-8", newline="") as stream:
        known = {row["class"] for row in csv.DictReader(stream)}
    for _, entry in entries(folder):
        assert set(entry["answer"]) <= set(classes[entry["template_id"]]) <= known


def test_question_numbers_and_splits_are_consistent(folder: Path) -> None:
    split_of = {}
    root = folder / "ecg-qa" / "ecgqa" / "ptbxl"
    for split in ("train", "valid", "test"):
        for index, line in enumerate((root / f"{split}_ecgs.tsv").read_text().splitlines()):
            assert line.split("\t")[0] == str(index)
            split_of[int(line.split("\t")[1])] = split
    assert len(split_of) == len(rows_of(folder))
    wording: dict[int, str] = {}
    template, paraphrased = list(entries(folder)), list(entries(folder, "paraphrased"))
    assert len(template) == len(paraphrased) > 500
    counters = dict.fromkeys(("train", "valid", "test"), 0)
    for (split, entry), (_, other) in zip(template, paraphrased, strict=True):
        assert entry["sample_id"] == counters[split] == other["sample_id"]
        counters[split] += 1
        assert {split_of[number] for number in entry["ecg_id"]} == {split}
        assert entry["question_id"] == other["question_id"]
        assert entry["answer"] == other["answer"]
        assert wording.setdefault(entry["question_id"], entry["question"]) == entry["question"]


def test_shards_hold_at_most_ten_thousand(tmp_path: Path) -> None:
    cases = [draw_case(planned, 5) for planned in plan_cohort(420, 5)]
    labelled = [labelled_record(case, database_row(case)) for case in cases]
    counts = write_ecg_qa(tmp_path, labelled, 5)
    names = sorted(path.name for path in (tmp_path / "ecgqa/ptbxl/template/train").iterdir())
    assert counts["train"] > SHARD_SIZE
    assert names == ["00000.json", "10000.json"]
    write_ecg_qa(tmp_path, labelled[:60], 5)  # a smaller set leaves no old shard behind
    assert len(list((tmp_path / "ecgqa/ptbxl/template/train").iterdir())) == 1


def test_the_same_bytes_for_any_number_of_workers(folder: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path / "two", SETTINGS, workers=2)
    assert digests(tmp_path / "two") == digests(folder)


def test_a_larger_cohort_begins_with_the_smaller_one() -> None:
    small, large = plan_cohort(33, 5), plan_cohort(80, 5)
    assert large[: len(small)] == small
    assert repr(draw_case(small[-1], 5)) == repr(draw_case(large[len(small) - 1], 5))
    other = [draw_case(planned, 6).findings for planned in plan_cohort(33, 6)]
    assert other != [draw_case(planned, 5).findings for planned in small]


def test_visits_share_anatomy_but_not_everything() -> None:
    cases = [draw_case(planned, 5) for planned in plan_cohort(200, 5)]
    pairs = [(a, b) for a, b in itertools.pairwise(cases) if b.planned.visit > 0]
    assert len(pairs) > 100
    for first, second in pairs:
        np.testing.assert_array_equal(first.anatomy.lead_field, second.anatomy.lead_field)
        assert first.person.sex == second.person.sex
        assert first.person.age <= second.person.age
    assert np.mean([a.findings == b.findings for a, b in pairs]) < 0.2


def test_an_interrupted_run_is_completed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    original = ptb_xl_layout.simulate_case

    def counting(case, seed, fs_hz):
        written.append(case.planned.ecg_id)
        if len(written) == 30:
            raise KeyboardInterrupt
        return original(case, seed, fs_hz)

    monkeypatch.setattr(ptb_xl_layout, "simulate_case", counting)
    with pytest.raises(KeyboardInterrupt):
        write_cohort(tmp_path, SETTINGS)
    assert not (tmp_path / "ptbxl_database.csv").exists()
    damaged = tmp_path / "records500" / "00000" / "00003_hr.dat"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    write_cohort(tmp_path, SETTINGS)
    assert written[30:32] == [3, 30]
    assert digests(tmp_path) == digests(folder)


def test_other_settings_and_foreign_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(EcgError, match="other settings"):
        write_cohort(folder, CohortSettings(patients=40, seed=6))
    (tmp_path / "ptbxl_database.csv").write_text("ecg_id\n")
    with pytest.raises(EcgError, match="not simulated"):
        write_cohort(tmp_path, SETTINGS)
    assert [path.name for path in tmp_path.iterdir()] == ["ptbxl_database.csv"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (CohortSettings(0), "at least one patient"),
        (CohortSettings(3, seed=-1), "0 or more"),
        (CohortSettings(3, fs_hz=360), "multiple of 100"),
        (CohortSettings(3, fs_hz=5000), "100 to 2000"),
        (CohortSettings(3, question_types=("single-guess",)), "single-guess"),
    ],
)
def test_impossible_settings_are_explained(
    tmp_path: Path, settings: CohortSettings, message: str
) -> None:
    with pytest.raises(EcgError, match=message):
        write_cohort(tmp_path / "none", settings)
    assert not (tmp_path / "none").exists()


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["simulate", "--out", str(tmp_path / "c"), "--patients", "12", "--fs", "100"]
    assert main([*arguments, "--workers", "1", "--question-types", "single"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["patients"] == 12
    assert result["records"] == len(plan_cohort(12, 1))
    types = {entry["question_type"] for _, entry in entries(tmp_path / "c")}
    assert types == {"single-verify", "single-choose", "single-query"}
    assert main([*arguments, "--seed", "2"]) == 1
    assert "other settings" in capsys.readouterr().err


def test_splits_without_questions_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", "--patients", "3", "--workers", "1", "--out", str(tmp_path / "few")]
    assert main(words) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out.splitlines()[-1])["questions"]["valid"] == 0
    assert "no questions on valid, which training" in printed.err
    assert "3 patients are too few; give --patients 40 or more" in printed.err


def test_amplitudes_are_those_of_real_recordings(folder: Path, shared_dir: Path) -> None:
    """Median over records of each lead's RMS: within a factor of two of PTB-XL's."""

    def rms(root: Path) -> np.ndarray:
        names = [row["filename_lr"] for row in rows_of(root)][:80]
        signals = [wfdb.rdrecord(str(root / name)).p_signal for name in names]
        return np.median([np.sqrt((x * x).mean(axis=0)) for x in signals], axis=0)

    ratio = rms(folder) / rms(shared_dir / "data" / "ptb-xl")
    assert (ratio > 0.5).all(), ratio
    assert (ratio < 2.0).all(), ratio


def test_norm_stands_alone() -> None:
    codes = [scp_codes(draw_case(planned, 5).findings) for planned in plan_cohort(800, 5)]
    normal = [found for found in codes if "NORM" in found]
    assert len(normal) > 40
    assert all(set(found) == {"NORM", "SR"} for found in normal)
    plain = [found for found in codes if set(found) <= {"STACH", "SBRAD"}]
    assert len(plain) > 40  # they were called normal, too


# Of the first recordings before the rule for NORM: mean size of leads I, V2 and V6 in microvolts.
MEAN_SIZES = [
    [48.94, 179.33, 69.05],
    [56.65, 89.14, 89.09],
    [94.37, 176.62, 165.62],
    [65.78, 175.26, 124.58],
    [357.72, 168.45, 169.23],
    [106.42, 146.4, 136.72],
]


def test_signals_of_standard_are_what_they_were() -> None:
    cases = [draw_case(planned, 5) for planned in plan_cohort(40, 5)[: len(MEAN_SIZES)]]
    signals = [simulate_case(case, 5, 500).signal[[0, 7, 11]] for case in cases]
    sizes = [np.abs(signal).mean(axis=1) * 1000 for signal in signals]
    np.testing.assert_allclose(sizes, MEAN_SIZES, atol=0.02)


def test_difficulty_is_recorded_and_a_folder_has_one(folder: Path, tmp_path: Path) -> None:
    assert json.loads((folder / "simulation.json").read_text())["difficulty"] == "standard"
    hard = tmp_path / "hard"
    words = ["simulate", "--patients", "3", "--out", str(hard), "--workers", "1"]
    assert main([*words, "--difficulty", "hard"]) == 0
    assert json.loads((hard / "simulation.json").read_text())["difficulty"] == "hard"
    with pytest.raises(EcgError, match="other settings"):
        write_cohort(hard, CohortSettings(3))
    with pytest.raises(EcgError, match="--difficulty easy: expected one of standard, hard"):
        write_cohort(tmp_path / "easy", CohortSettings(3, difficulty="easy"))
    write_cohort(tmp_path / "standard", CohortSettings(3))
    one, other = digests(hard), digests(tmp_path / "standard")
    assert one.keys() == other.keys()
    signals = {name for name in one if name.endswith(".dat")}
    assert all(one[name] != other[name] for name in signals)
    assert {name for name in one if one[name] == other[name]} > {"ptbxl_database.csv"}
