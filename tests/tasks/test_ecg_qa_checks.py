"""The task refuses what does not belong together, and says both sides (A7 and bad input)."""

import json
import shutil

import numpy as np
import pytest
import torch
from fairseq_in_process import SMALL, generate, setup_task, train
from toy_manifest import make_manifest, make_tokenizer, write_records_text

from ecg_fairseq.errors import CheckpointError, EcgError, ManifestError, RecordError
from ecg_fairseq.files import write_json
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.tokenizer import EcgTokenizer


def with_tokenizer(folder, **changes) -> str:
    """Save the manifest's tokenizer with other facts beside it; return the override."""
    tokenizer = EcgTokenizer.load(folder.parent / "tokenizer.json")
    values = {**tokenizer.to_dict(), **changes}
    write_json(folder.parent / "other.json", values)
    return f"task.ecg_tokenizer={folder.parent / 'other.json'}"


def test_a_manifest_without_tokenizer_says_what_to_type(toy_copy):
    meta = json.loads((toy_copy / "meta.json").read_text())
    write_json(toy_copy / "meta.json", {**meta, "tokenizer": None})
    with pytest.raises(ManifestError, match=r"ecg-fairseq tokenizer train --input"):
        setup_task(toy_copy)
    setup_task(toy_copy, f"task.ecg_tokenizer={toy_copy.parent / 'tokenizer.json'}")


def test_a_tokenizer_that_changed_on_disk_is_refused(toy_copy):
    path = toy_copy.parent / "tokenizer.json"
    values = json.loads(path.read_text())
    write_json(path, {**values, "merges": values["merges"][:-1]})
    with pytest.raises(ManifestError, match=r"is not the tokenizer that meta\.json names"):
        setup_task(toy_copy)


def test_a_tokenizer_that_is_gone_is_named(toy_copy):
    (toy_copy.parent / "tokenizer.json").unlink()
    with pytest.raises(EcgError, match=r"tokenizer\.json"):
        setup_task(toy_copy)


def test_a_tokenizer_of_another_split_is_refused_unless_external(toy_copy):
    override = with_tokenizer(toy_copy, split_hash="f" * 64)
    with pytest.raises(ManifestError, match=r"split ffffffffffff.*has split.*external_test"):
        setup_task(toy_copy, override)
    setup_task(toy_copy, override, "task.external_test=true")


def test_a_tokenizer_of_another_recipe_is_always_refused(toy_copy):
    override = with_tokenizer(toy_copy, recipe={"name": "ecg_byte_10s", "hash": "e" * 64})
    for more in ([], ["task.external_test=true"]):
        with pytest.raises(ManifestError, match=r"recipe ecg_byte_10s.*the manifest has ecg_byte "):
            setup_task(toy_copy, override, *more)


def test_a_manifest_without_questions_is_named(toy_copy):
    (toy_copy / "valid.jsonl").write_text("")
    with pytest.raises(
        ManifestError, match=r"valid\.jsonl holds no questions; make them"
    ) as raised:
        setup_task(toy_copy).load_dataset("valid", epoch=1)
    assert "train and test hold some" in str(raised.value)
    for split in ("train", "test"):
        (toy_copy / f"{split}.jsonl").write_text("")
    with pytest.raises(ManifestError, match=r"manifests/own_data\.py$"):
        setup_task(toy_copy).load_dataset("valid", epoch=1)


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ManifestError, match="manifest folder not found"):
        setup_task(tmp_path / "absent")


def test_unknown_hub_name_offline(toy):
    task = setup_task(toy.path, "task.text_tokenizer=no-such/model")
    with pytest.raises(EcgError, match=r"text tokenizer 'no-such/model' cannot be loaded"):
        _ = task.vocabulary


@pytest.mark.parametrize("switch", ["fp16", "bf16", "amp", "memory_efficient_bf16"])
def test_fairseqs_half_precision_is_refused(toy, switch):
    with pytest.raises(EcgError, match=rf"common\.{switch}=true.*task\.autocast"):
        setup_task(toy.path, f"++common.{switch}=true")


def test_fairseqs_half_precision_is_refused_in_generation(toy, checkpoint, tmp_path):
    with pytest.raises(EcgError, match=r"common\.fp16=true"):
        generate(toy.path, checkpoint, tmp_path, "--fp16")


def test_unknown_autocast_is_refused(toy):
    with pytest.raises(EcgError, match=r"task\.autocast='half'"):
        setup_task(toy.path, "task.autocast=half")


def test_sequences_longer_than_the_positions_are_refused(toy, tmp_path):
    with pytest.raises(EcgError, match=r"max_sequence=1024 is longer than the model's 512"):
        train(toy.path, tmp_path, *SMALL, "model.max_positions=512")


def test_training_cuts_and_counts_and_evaluation_refuses(toy):
    whole = setup_task(toy.path, "task.pairs_per_ecg=1")
    whole.load_dataset("train", epoch=1)
    sizes = whole.dataset("train").sizes
    shorter = int(sizes.max()) - 2
    task = setup_task(toy.path, f"task.max_sequence={shorter}", "task.pairs_per_ecg=1")
    task.load_dataset("train", epoch=1)
    dataset = task.dataset("train")
    assert dataset.num_cut == (sizes > shorter).sum() > 0
    assert dataset.sizes.max() == shorter
    lengths = [len(dataset[i].input_ids) for i in range(len(dataset))]
    assert lengths == dataset.sizes.tolist()
    for split, epoch in (("valid", {"epoch": 1}), ("test", {})):
        with pytest.raises(RecordError, match=r"question 'r\d+_\d.*task\.max_sequence is"):
            task.load_dataset(split, **epoch)


def test_packing_never_makes_an_ecg_be_cut(toy):
    alone = setup_task(toy.path, "task.max_sequence=1024", "task.pairs_per_ecg=1")
    alone.load_dataset("train", epoch=1)
    longest = int(alone.dataset("train").sizes.max())
    packed = setup_task(toy.path, f"task.max_sequence={longest}", "task.pairs_per_ecg=12")
    for split in ("train", "valid"):
        packed.load_dataset(split, epoch=1)
        assert packed.dataset(split).num_cut == 0
    asked = [q.question.id for item in packed.dataset("train").items for q in item]
    assert sorted(asked) == sorted(q.id for q in toy.questions("train"))


@pytest.fixture(scope="module")
def other_split(tmp_path_factory):
    """The same patients on other splits, so another split hash."""
    return make_manifest(tmp_path_factory.mktemp("other"), 10, seed=3, turn=2)


def test_a_checkpoint_of_another_split_is_refused_unless_external(
    toy, checkpoint, other_split, tmp_path
):
    tokenizer = ["--ecg-tokenizer", str(toy.path.parent / "tokenizer.json")]
    # The tokenizer is of the other split as well, so it would be refused first.
    values = json.loads((toy.path.parent / "tokenizer.json").read_text())
    same = EcgTokenizer.from_dict(values)
    assert same.split_hash == toy.split_hash != other_split.split_hash
    with pytest.raises(ManifestError, match="the tokenizer was trained on split"):
        generate(other_split.path, checkpoint, tmp_path, *tokenizer)
    text = generate(other_split.path, checkpoint, tmp_path, *tokenizer, "--external-test")
    assert text.count("\nT-") == len(other_split.questions("test"))


def test_patients_that_were_trained_on_are_not_asked_about(toy, other_split, tmp_path):
    """The tokenizer names no split here, so patients decide."""
    values = json.loads((toy.path.parent / "tokenizer.json").read_text())
    write_json(tmp_path / "tokenizer.json", {**values, "split_hash": None})
    tokenizer = str(tmp_path / "tokenizer.json")
    trained = train(toy.path, tmp_path / "run", *SMALL, f"task.ecg_tokenizer={tokenizer}")
    words = ("--ecg-tokenizer", tokenizer)
    with pytest.raises(CheckpointError, match=r"trained on 4 of the patients .* of toy that"):
        generate(other_split.path, trained, tmp_path, *words)
    fewer = make_manifest(tmp_path / "fewer", 10, seed=3)
    text = generate(fewer.path, trained, tmp_path, *words)
    assert text.count("\nT-") == len(fewer.questions("test"))


def _changed(checkpoint, tmp_path, without=(), **changes):
    state = torch.load(checkpoint, weights_only=True)
    state["task_state"].update(changes)
    for name in without:
        del state["task_state"][name]
    torch.save(state, tmp_path / "changed.pt")
    return tmp_path / "changed.pt"


def test_a_checkpoint_of_another_split_is_refused_by_itself(toy, checkpoint, tmp_path):
    changed = _changed(checkpoint, tmp_path, ["patients", "dataset"], split_hash="a" * 64)
    with pytest.raises(CheckpointError, match=r"split aaaaaaaaaaaa.*may have been trained on"):
        generate(toy.path, changed, tmp_path)
    generate(toy.path, changed, tmp_path, "--external-test")


def test_a_checkpoint_of_another_recipe_is_always_refused(toy, checkpoint, tmp_path):
    recipe = json.dumps({"name": "ecg_byte_10s", "hash": "b" * 64})
    changed = _changed(checkpoint, tmp_path, recipe=recipe)
    for more in ([], ["--external-test"]):
        with pytest.raises(CheckpointError, match=r"recipe ecg_byte_10s.*made with ecg_byte "):
            generate(toy.path, changed, tmp_path, *more)


def test_a_checkpoint_of_another_tokenizer_is_refused(toy_copy, checkpoint, tmp_path):
    make_tokenizer(toy_copy, toy_copy.parent / "tokenizer.json", num_merges=30)
    with pytest.raises(CheckpointError, match="was trained with ECG tokenizer"):
        generate(toy_copy, checkpoint, tmp_path)


def test_a_recording_of_several_windows(toy_copy, checkpoint, tmp_path):
    """Training shows every window with the same question; an answer is given for the first."""
    lines = (toy_copy / "records.tsv").read_text().splitlines()
    widened = [
        line[:-1] + "2" if "_0\t" in line.split("p")[0] and line.endswith("\t1") else line
        for line in lines
    ]
    assert widened != lines
    write_records_text(toy_copy, "\n".join(widened) + "\n")
    manifest = Manifest.load(toy_copy)
    task = setup_task(toy_copy, "task.pairs_per_ecg=1")
    task.load_dataset("train", epoch=1)
    shown = [item[0] for item in task.dataset("train").items]
    for question in manifest.questions("train"):
        rows = sorted(item.rows for item in shown if item.question.id == question.id)
        records = [manifest.record_row(name) for name in question.record_ids]
        windows = min(record.num_segments for record in records)
        assert rows == [tuple(r.first_row + k for r in records) for k in range(windows)]
    assert len(shown) > len(manifest.questions("train"))
    text = generate(toy_copy, checkpoint, tmp_path)
    assert text.count("\nT-") == len(manifest.questions("test"))


def test_the_token_cache_is_shared_and_checked(toy_copy):
    shutil.rmtree(toy_copy / "tokens", ignore_errors=True)
    task = setup_task(toy_copy)
    task.load_dataset("train", epoch=1)
    (ids_path,) = (toy_copy / "tokens").glob("*.ids.npy")
    ids = np.load(ids_path)
    np.save(ids_path, ids[:-1])
    with pytest.raises(ManifestError, match=r"token cache .* is damaged; delete"):
        setup_task(toy_copy).load_dataset("train", epoch=1)
