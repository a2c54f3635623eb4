"""Other ECG tokens and other prompt layouts go through every verb of the question task."""

import json
import math

import numpy as np
import pytest
import torch
from fairseq_in_process import SMALL, generate, lines_of, setup_task, train
from toy_manifest import write_records_text
from toy_tokens import LeadLevels

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import CheckpointError, EcgError, RecordError, TokenizerError
from ecg_fairseq.networks.language_model.answering import DecodingOptions, generate_answers
from ecg_fairseq.networks.language_model.trained_system import load_trained_system
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.preparation.manifest_writer import set_tokenizer
from ecg_fairseq.signal.leads import CANONICAL_LEADS

CASES = {
    "levels-ecg_byte": (True, "ecg_byte", 1),
    "levels-heartllm_qa": (True, "heartllm_qa", 2),
    "bpe-heartllm_qa": (False, "heartllm_qa", 1),
    "levels-heartllm_report": (True, "heartllm_report", 3),
}


def without_comparisons(folder) -> None:
    """Keep the questions about one recording: HeartLLM's layouts show one."""
    for split in ("train", "valid", "test"):
        path = folder / f"{split}.jsonl"
        lines = path.read_text().splitlines()
        kept = [line for line in lines if len(json.loads(line)["record_ids"]) == 1]
        path.write_text("\n".join(kept) + "\n")


def with_levels(folder) -> LeadLevels:
    """Register the second kind of tokens in a manifest."""
    tokens = LeadLevels.for_manifest(Manifest.load(folder))
    tokens.save(folder.parent / "levels.json")
    set_tokenizer(folder, folder.parent / "levels.json")
    return tokens


@pytest.fixture(params=CASES, ids=str)
def case(request, toy_copy, tmp_path):
    """A manifest, and two updates of training on it."""
    levels, layout, pairs = CASES[request.param]
    if levels:
        with_levels(toy_copy)
    if layout != "ecg_byte":
        without_comparisons(toy_copy)
    checkpoint = train(
        toy_copy,
        tmp_path / "checkpoints",
        *SMALL,
        f"task.prompt_layout={layout}",
        f"task.pairs_per_ecg={pairs}",
        "task.max_sequence=8000",
        "model.max_positions=9000",
    )
    return toy_copy, layout, checkpoint


def test_train_generate_predict_export(case, tmp_path, capsys):
    folder, layout, checkpoint = case
    manifest = Manifest.load(folder)
    questions = manifest.questions("test")
    printed = lines_of(generate(folder, checkpoint, tmp_path / "out", "--batch-size", "5"), "H")
    assert sorted(printed) == list(range(len(questions)))

    # the checkpoint alone gives fairseq-generate's answers: it holds its tokens and its layout
    system = load_trained_system(checkpoint)
    assert system.layout.name == layout
    builder = system.builder
    for number, question in list(enumerate(questions))[:4]:
        text = system.text_tokenizer.encode(builder.question_text(question.question))
        segments = np.stack([manifest.segment(name) for name in question.record_ids])
        ecgs = [system.vocabulary.rows_of(ids) for ids in system.ecg_tokenizer.encode(segments)]
        prompt = torch.from_numpy(builder.prompt(text, ecgs))[None]
        options = DecodingOptions(max_new_tokens=4)
        ((rows, scores),) = generate_answers(system.model, prompt, torch.ones_like(prompt), options)
        score, answer = printed[number][0]
        assert system.text_tokenizer.decode(system.vocabulary.text_rows(rows.tolist())) == answer
        assert float(scores.sum()) == pytest.approx(float(score) * math.log(2), abs=1e-3)

    record = tmp_path / "record.npy"
    signal = np.zeros((12, 3 * 250), dtype=np.float32)
    signal[:, 100:300] = 1.2
    np.save(record, signal)
    facts = {"leads": list(CANONICAL_LEADS), "fs_hz": 250}
    record.with_suffix(".json").write_text(json.dumps(facts))
    capsys.readouterr()
    arguments = ["predict", "--checkpoint", str(checkpoint), str(record), "--json"]
    assert main([*arguments, "--question", "What form?", "--max-new-tokens", "3"]) == 0
    assert "answer" in json.loads(capsys.readouterr().out)

    out = tmp_path / "exported"
    assert main(["export", "--checkpoint", str(checkpoint), "--out", str(out)]) == 0
    facts = json.loads((out / "ecg_fairseq.json").read_text())
    assert facts["prompt_layout"] == system.layout.to_dict()
    ids = [str(k) for k in system.ecg_tokenizer.emitted_ids()]
    rows = system.vocabulary.rows_of(system.ecg_tokenizer.emitted_ids()).tolist()
    assert facts["row_of_ecg_id"] == dict(zip(ids, rows, strict=True))
    names = json.loads((out / "tokenizer.json").read_text())["added_tokens"]
    special = {entry["content"]: entry["id"] for entry in names}
    for name, row in facts["row_of_special"].items():
        assert special[name] == row
    assert (out / "ecg_tokenizer.json").is_file()


def test_the_checkpoint_keeps_its_layout(toy_copy, tmp_path):
    """A file may change or go: what was trained with stands in the checkpoint."""
    layout = (tmp_path / "mine.yaml").absolute()
    shipped = setup_task(toy_copy).layout.to_dict()
    layout.write_text(json.dumps({**shipped, "name": "mine"}))
    override = f"task.prompt_layout={layout}"
    checkpoint = train(toy_copy, tmp_path / "checkpoints", *SMALL, override)
    state = torch.load(checkpoint, weights_only=True)["task_state"]
    assert json.loads(state["prompt_layout"])["name"] == "mine"
    other = setup_task(toy_copy, "task.prompt_layout=heartllm_qa")
    with pytest.raises(CheckpointError, match=r"layout mine, the settings name heartllm_qa"):
        other.load_state_dict(state)
    changed = {**shipped, "name": "mine", "pieces": shipped["pieces"][1:]}
    layout.write_text(json.dumps(changed))
    task = setup_task(toy_copy, override)
    assert len(task.layout.pieces) == 4
    task.load_state_dict(state)
    assert len(task.layout.pieces) == 5
    assert load_trained_system(checkpoint).layout.name == "mine"


def test_states_from_before_layouts_and_kinds_are_read(toy, checkpoint, tmp_path):
    stored = torch.load(checkpoint, weights_only=True)
    for name in ("prompt_layout", "ecg_tokenizer_kind"):
        del stored["task_state"][name]
    torch.save(stored, tmp_path / "old.pt")
    system = load_trained_system(tmp_path / "old.pt")
    assert system.layout.name == "ecg_byte"
    setup_task(toy.path).load_state_dict(stored["task_state"])


def test_what_does_not_fit_is_refused_in_words(toy_copy):
    with pytest.raises(EcgError, match="prompt layout 'absent' not found; choose one of"):
        setup_task(toy_copy, "task.prompt_layout=absent")
    comparing = setup_task(toy_copy, "task.prompt_layout=heartllm_qa", "task.max_sequence=6000")
    with pytest.raises(RecordError, match=r"2 recordings but prompt layout heartllm_qa shows 1"):
        comparing.load_dataset("train", epoch=1)
    path = toy_copy.parent / "other.json"
    path.write_text(json.dumps({"kind": "vq"}))
    with pytest.raises(TokenizerError, match=r"kind 'vq'; this program knows ecg_bpe"):
        setup_task(toy_copy, f"task.ecg_tokenizer={path}")


def test_headers_are_of_the_patient_whose_ecg_is_shown(toy_copy):
    without_comparisons(toy_copy)
    table = toy_copy / "records.tsv"
    lines = [line.split("\t") for line in table.read_text().splitlines()]
    age, sex = lines[0].index("age"), lines[0].index("sex")
    for number, line in enumerate(lines[1:]):
        line[age], line[sex] = str(40 + number), ("female", "male")[number % 2]
    write_records_text(toy_copy, "\n".join("\t".join(line) for line in lines) + "\n")
    for name in ("heartllm_report", "ecg_byte"):
        task = setup_task(toy_copy, f"task.prompt_layout={name}", "task.max_sequence=6000")
        task.load_dataset("test")
        dataset = task.datasets["test"]
        for index, (item,) in enumerate(dataset.items):
            record = task.manifest.record_row(item.question.record_ids[0])
            expected = f"Age: {record.age:g}; Sex: {record.sex}." if "report" in name else ""
            assert item.header == expected
            rows = task.vocabulary.text_rows(dataset[index].prompt.tolist())
            told = f"Age: {record.age:g}" in task.text_tokenizer.decode(rows)
            assert told == ("report" in name)
            assert len(dataset[index].prompt) + len(item.answer_ids) == dataset.sizes[index]
