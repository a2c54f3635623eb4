"""Simulated datasets as published: the same bytes for any workers, and files that wfdb reads."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from ecg_fairseq.errors import EcgError
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.simulated.cardiologist_statements import snomed_codes
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.derived_signals import simulate_seconds
from ecg_fairseq.records.simulated.layouts import LAYOUTS, layout_writer
from ecg_fairseq.records.simulated.plan import draw_case, plan_cohort, simulate_case
from ecg_fairseq.signal.simulator import Findings

OURS = ("physionet_2021", "ludb", "ptb", "incart")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("layout", OURS)
def test_any_number_of_workers_writes_the_same_files(layout, tmp_path):
    write = layout_writer(layout)
    patients = {"physionet_2021": 30, "incart": 1}.get(layout, 3)
    first = write(tmp_path / "one", CohortSettings(patients, seed=4), 1)
    assert first == write(tmp_path / "two", CohortSettings(patients, seed=4), 2)
    files = contents(tmp_path / "one")
    assert files == contents(tmp_path / "two")
    assert sum(name.endswith(".hea") for name in files) == first["records"]
    again = next(path for path in (tmp_path / "one").rglob("*.hea"))
    again.write_text("half")
    write(tmp_path / "one", CohortSettings(patients, seed=4), 1)
    assert contents(tmp_path / "one") == files


@pytest.mark.parametrize("layout", OURS)
def test_other_folders_are_left_alone(layout, tmp_path):
    write = layout_writer(layout)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/E00001.hea").write_text("a real one")
    with pytest.raises(EcgError, match="not an empty folder"):
        write(tmp_path / "full", CohortSettings(1), 1)
    write(tmp_path / "m", CohortSettings(1), 1)
    with pytest.raises(EcgError, match="other settings"):
        write(tmp_path / "m", CohortSettings(1, seed=9), 1)
    with pytest.raises(EcgError, match="at least one patient"):
        write(tmp_path / "n", CohortSettings(0), 1)
    with pytest.raises(EcgError, match="rates of its own"):
        write(tmp_path / "n", CohortSettings(1, fs_hz=400), 1)
    assert not (tmp_path / "n").exists()


def test_layouts_are_registered():
    assert set(OURS) < set(LAYOUTS)
    with pytest.raises(EcgError, match="--layout"):
        layout_writer("nix")
    with pytest.raises(EcgError, match="names for 99"):
        layout_writer("incart")(Path("nix"), CohortSettings(200), 1)


def test_challenge_files_are_read_by_wfdb_and_scipy(tmp_path):
    import wfdb

    layout_writer("physionet_2021")(tmp_path / "raw", CohortSettings(20, seed=3), 1)
    headers = sorted((tmp_path / "raw/training").rglob("*.hea"))
    odd = {"E00003", "HR00002"}  # wfdb refuses the first; the second's gain is put right
    compared = 0
    for path in headers:
        record = read_record(path)
        steps = scipy.io.loadmat(path.with_suffix(".mat"))["val"]
        assert steps.dtype == np.int16
        assert np.abs(record.signal - steps / 1000).max() <= 2e-6
        if path.stem not in odd:
            theirs = wfdb.rdrecord(str(path.with_suffix("")))
            assert np.abs(record.signal.T - theirs.p_signal).max() <= 1e-6
            sums = np.array(theirs.checksum) & 0xFFFF
            assert (sums == steps.sum(axis=1, dtype=np.int64) & 0xFFFF).all()
            compared += 1
    assert compared == len(headers) - 2
    texts = [path.read_text() for path in headers]
    for part in ("16x1+24 1000.0(0)/mV", "16+24 1000/mV", "/mv 16", "16+24 200/mV", "# Age: "):
        assert any(part in text for text in texts), part
    assert {text.split()[2] for text in texts} == {"257", "500", "1000"}
    assert len({len(text.splitlines()[0].split()) for text in texts}) == 2
    lists = (tmp_path / "raw/RECORDS").read_text().split()
    assert "training/georgia/g1/" in lists
    texts = [(tmp_path / "raw" / name / "RECORDS").read_text() for name in lists]
    assert sorted("".join(texts).split()) == sorted(path.stem for path in headers)


@pytest.mark.parametrize("seconds", [6.0, 10.0, 25.0, 95.5])
def test_long_recordings_keep_the_leads_relations(seconds):
    case = draw_case(plan_cohort(3, 1)[0], 1)
    signal = simulate_seconds(case, 1, 250, seconds)
    assert signal.shape == (12, round(seconds * 250))
    assert np.isfinite(signal).all()
    assert np.abs(signal[1] - signal[0] - signal[2]).max() < 1e-4
    first = simulate_case(case, 1, 250).signal
    same = min(signal.shape[1], round(9.8 * 250))
    assert (signal[:, :same] == first[:, :same]).all()
    # No jump at a seam is larger than the steps of the recording itself.
    assert np.abs(np.diff(signal)).max() < 1.5 * max(np.abs(np.diff(first)).max(), 0.3)


def test_codes_say_what_is_simulated():
    normal = Findings()
    assert snomed_codes(normal, "georgia") == ["426783006"]
    ill = Findings("fast", conduction="left_bundle_block", premature_beats=True, left_axis=True)
    assert snomed_codes(ill, "ningbo") == ["427084000", "733534002", "39732003", "427172004"]
    assert snomed_codes(ill, "cpsc_2018") == ["427084000", "164909002", "39732003", "164884008"]
    assert snomed_codes(Findings(atrial_fibrillation=True), "ptb")[0] == "164889003"
