"""An encoder is trained on a manifest of median beats: recipe dual_attention over PTB-XL+."""

import numpy as np
import torch
from ecg_fm_manifest import SMALL_ENCODER
from fairseq_in_process import setup_task, train

from ecg_fairseq.records.datasets.ptb_xl_plus import PtbXlPlusChoice, ptb_xl_plus_dataset
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.options import PrepareOptions
from ecg_fairseq.records.preparation.prepare import prepare
from ecg_fairseq.records.simulated.cohort import CohortSettings
from ecg_fairseq.records.simulated.layouts.ptb_xl_plus import write_layout
from ecg_fairseq.signal.recipes import get_recipe

SETTINGS = CohortSettings(patients=40, seed=3, question_types=("single-verify",))


def test_an_encoder_trains_on_median_beats(tmp_path):
    raw, out = tmp_path / "raw", tmp_path / "manifest"
    write_layout(raw, SETTINGS)
    dataset = ptb_xl_plus_dataset(raw, raw / "ptb-xl", PtbXlPlusChoice())
    prepare(dataset, PrepareOptions(out, get_recipe("dual_attention"), progress="silent"))
    manifest = Manifest.load(out)
    assert {strip.kind for strip in manifest.strips} == {"median_beat"}

    task = setup_task(out, name="w2v_pretraining")
    task.load_dataset("train", epoch=1)
    segments = task.datasets["train"]
    row = next(row for row in manifest.split_records("train"))
    np.testing.assert_array_equal(segments[0].signals[0], manifest.segment(row.record_id))
    assert segments.leads[:3] == ("I", "II", "III")

    views = ("task.perturbation_mode=[random_leads_masking]", "dataset.disable_validation=false")
    checkpoint = train(out, tmp_path / "run", *SMALL_ENCODER, *views, name="simclr_rlm_pretraining")
    state = torch.load(checkpoint, weights_only=True)
    assert state["optimizer_history"][-1]["num_updates"] == 2
    assert state["task_state"]["recipe"]["name"] == "dual_attention"
    assert all(bool(tensor.isfinite().all()) for tensor in state["model"].values())
