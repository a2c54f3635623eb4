"""HeartLLM's tokenizer: killed runs resume exactly, two processes equal one, tokens go on."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from ecg_fm_manifest import make_ecg_fm_manifest
from fairseq_in_process import train

from ecg_fairseq.cli.main import main
from ecg_fairseq.data.tokens.cached_tokens import load_ecg_tokens
from ecg_fairseq.data.tokens.registered_tokenizer import registered_tokenizer
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.tokenizer import FsqTokens
from fairseq_runs.commands import (
    assert_equal,
    curve,
    last_state,
    run,
    run_and_kill,
    torchrun,
    train_command,
)

SMALL = ["model.channels_per_lead=8", "model.depth=2", "dataset.batch_size=4"]
OFTEN = ["common.log_interval=1", "dataset.batch_size_valid=4"]


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_ecg_fm_manifest(tmp_path_factory.mktemp("segments"), 20)


def command_of(segments: Path, *overrides: str) -> list[str]:
    return train_command(segments, *SMALL, *OFTEN, *overrides, config="heartllm_tokenizer_tiny")


def codes(output: str, part: str) -> list[dict[str, str]]:
    """Return what is logged of losses and codes."""
    found = []
    for text in re.findall(rf"\[{part}\]\[INFO\] - (\{{.*\}})", output):
        line = json.loads(text)
        found.append(
            {k: v for k, v in line.items() if re.search("loss|code|rmse|level|num_updates", k)}
        )
    return found


@pytest.mark.slow
def test_killed_and_resumed_equals_uninterrupted(segments, tmp_path):
    command = command_of(
        segments,
        "dataset.num_workers=2",
        "optimization.max_update=20",
        "checkpoint.save_interval_updates=5",
        "dataset.validate_interval_updates=10",
    )
    output = run(command, tmp_path / "whole")
    whole = curve(output)
    assert sorted(whole) == list(range(1, 21))
    run_and_kill(command, tmp_path / "killed", 8)
    resumed_output = run(command, tmp_path / "killed")
    resumed = curve(resumed_output)
    assert min(resumed) > 5, "the last run started anew instead of resuming"
    assert resumed == {update: whole[update] for update in resumed}
    final = [last_state(tmp_path / name) for name in ("whole", "killed")]
    assert_equal(final[0]["model"], final[1]["model"])
    assert_equal(final[0]["last_optimizer_state"], final[1]["last_optimizer_state"])
    valid = codes(output, "valid")
    assert len(valid) >= 2
    assert codes(resumed_output, "valid")[-1] == valid[-1]
    # The last epoch's codes are those of the whole epoch, however often it was interrupted.
    assert codes(resumed_output, "train")[-1] == codes(output, "train")[-1]


@pytest.mark.slow
def test_two_processes_equal_one_with_accumulation(segments, tmp_path):
    common = ["dataset.num_workers=0", "dataset.validate_interval_updates=4"]
    one = run(
        command_of(segments, *common, "optimization.update_freq=[2]", "optimization.max_update=8"),
        tmp_path / "one",
    )
    two = run(
        torchrun(command_of(segments, *common, "optimization.max_update=8")), tmp_path / "two"
    )
    expected, seen = curve(one), curve(two)
    assert sorted(seen) == sorted(expected) == list(range(1, 9))
    for update, (loss, _, _) in expected.items():
        assert float(seen[update][0]) == pytest.approx(float(loss), rel=1e-4)
    weights = [last_state(tmp_path / name)["model"] for name in ("one", "two")]
    for name, weight in weights[0].items():
        torch.testing.assert_close(weights[1][name], weight, rtol=1e-3, atol=1e-5)
    for ours, theirs in zip(codes(two, "valid"), codes(one, "valid"), strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert float(ours[name]) == pytest.approx(float(theirs[name]), rel=2e-3, abs=2e-3)


def test_tokens_of_a_training_serve_its_manifest(segments, tmp_path, capsys):
    checkpoint = train(segments, tmp_path, *SMALL, name="heartllm_tokenizer_tiny")
    state = read_checkpoint_file(checkpoint)
    # The toy recipe has no name in the program, so the verbs refuse it; the tokens do not need it.
    tokens = FsqTokens.of_checkpoint(state, str(checkpoint))
    manifest = Manifest.load(segments)
    assert (tokens.recipe["name"], tokens.split_hash) == ("toy_ecg_fm", manifest.split_hash)
    tokens.save(segments / "tokens.json")
    command = ["tokenizer", "register", "--tokenizer", str(segments / "tokens.json")]
    assert main([*command, str(segments)]) == 0
    registered = registered_tokenizer(Manifest.load(segments), None)
    cached = load_ecg_tokens(manifest, registered)
    for row in (0, 7):
        (ids,) = tokens.encode(manifest.store.read(row)[None])
        assert np.array_equal(cached[row], ids)
    other = make_ecg_fm_manifest(tmp_path / "other", 20, turn=2)
    capsys.readouterr()
    assert main([*command, str(other)]) == 1
    assert "trained on split" in capsys.readouterr().err
