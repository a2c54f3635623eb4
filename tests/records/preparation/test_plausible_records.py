"""Preparation keeps signals that are no ECG in mV out of a manifest, and says so."""

import json

import numpy as np
import pytest
from foreign_files import TWELVE, made_beats

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.datasets.own_data import OwnData, own_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.command_line import options_from, preparation_parser
from ecg_fairseq.records.preparation.prepare import PrepareOptions, prepare
from ecg_fairseq.signal.recipes import get_recipe

ARRAY = np.stack([made_beats(20.0) * (1 + number / 20) for number in range(12)])


@pytest.fixture
def prepared(tmp_path):
    """Return a function that prepares an array, or a folder of CSV files made from it."""

    def make(array, is_folder=False, **more):
        path = tmp_path / "a.npy"
        np.save(path, array)
        if is_folder:
            path = tmp_path / "folder"
            path.mkdir(exist_ok=True)
            for number, signal in enumerate(array):
                lines = [",".join(TWELVE), *(",".join(map(str, row)) for row in signal.T)]
                (path / f"r{number}.csv").write_text("\n".join(lines))
                (path / f"r{number}.json").write_text('{"fs_hz": 500}')
        options = {"progress": "silent", "overwrite": True, **more}
        out = tmp_path / f"m{len(list(tmp_path.glob('m*')))}"
        prepare(
            own_dataset(OwnData(path, fs_hz=500.0)),
            PrepareOptions(out, get_recipe("ecg_fm"), **options),
        )
        return Manifest.load(out)

    return make


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize(("factor", "reason"), [(1000, "--unit uV"), (1e-3, "--unit V")])
def test_another_unit_is_refused_or_accepted(prepared, is_folder, factor, reason):
    array = ARRAY[:, :, :2600] * np.float32(factor)
    with pytest.raises(ManifestError, match=reason):
        prepared(array, is_folder)
    manifest = prepared(array, is_folder, accept_amplitude=True)
    assert manifest.meta["counts"]["records"] == 12
    assert manifest.meta["signals"]["findings"] == {"accepted as it is": 12}


def test_a_few_bad_records_are_skipped_with_the_reason(prepared):
    array = ARRAY.copy()
    array[3] *= 1000
    array[7] = 0.0
    array[9, :, 2000:7000] = np.nan
    manifest = prepared(array, max_skip_fraction=0.5)
    reasons = {row.record_id: row.reason for row in manifest.records.values() if not row.is_ok}
    assert sorted(reasons) == ["3", "7", "9"]
    assert "uV" in reasons["3"]
    assert "flat" in reasons["7"]
    assert "50 % of the samples are missing" in reasons["9"]
    assert "signals" not in manifest.meta


@pytest.mark.parametrize("filling", [0.0, np.nan])
def test_filling_is_taken_off_before_the_recipe(prepared, filling):
    padded = np.full((12, 12, 10000), filling, np.float32)
    padded[:, :, 1000:6100] = ARRAY[:, :, 1000:6100]
    manifest, wanted = prepared(padded), prepared(ARRAY[:, :, 1000:6100])
    assert manifest.meta["counts"]["segments"] == 24
    for number in range(12):
        for segment in range(2):
            np.testing.assert_array_equal(
                manifest.segment(str(number), segment), wanted.segment(str(number), segment)
            )
    assert manifest.meta["signals"]["findings"] == {"filling at the ends taken off": 12}


def test_still_segments_are_left_out_and_counted(prepared):
    array = ARRAY.copy()
    array[4, :, 4900:7600] = 0.1
    manifest, wanted = prepared(array), prepared(ARRAY)
    assert manifest.record_row("4").num_segments == wanted.record_row("4").num_segments - 1 == 3
    assert manifest.meta["signals"] == {"still_segments_left_out": 1}
    assert manifest.meta["counts"]["segments"] == 47
    lists = [(manifest.path / f"{split}.tsv").read_text() for split in ("train", "valid", "test")]
    assert sum(text.count("\n") - 1 for text in lists) == 47


def test_the_command_line_has_the_flag(tmp_path):
    from ecg_fairseq.records.datasets import own_data

    words = [str(tmp_path), "--out", str(tmp_path / "m"), "--recipe", "ecg_fm"]
    parser = preparation_parser(own_data)
    assert not options_from(parser.parse_args(words)).accept_amplitude
    assert options_from(parser.parse_args([*words, "--accept-amplitude"])).accept_amplitude


def test_plans_of_earlier_versions_stay_valid(prepared, tmp_path):
    manifest = prepared(ARRAY)
    plan = json.loads((manifest.path / ".prepare/plan.json").read_text())
    assert set(plan) == {"dataset", "recipe", "dtype", "num_records", "input_sha256"}
