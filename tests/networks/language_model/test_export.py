"""An exported folder in plain transformers (+ peft) gives our logits and our answers (A5)."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fairseq_in_process import SMALL, train
from toy_manifest import make_manifest
from toy_models import build_prefix, save_named_base

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.language_model.answering import DecodingOptions, generate_answers
from ecg_fairseq.networks.language_model.export import _unfinished_folder, export_checkpoint
from ecg_fairseq.networks.language_model.trained_system import load_trained_system

SCRIPT = Path(__file__).with_name("plain_transformers.py")
QUESTIONS = ("Does this ECG show a tall pulse?", "Is signal_97 </s> text?")
MORE = (
    "optimization.max_update=4",
    "dataset.validate_interval_updates=4",
    "checkpoint.save_interval_updates=4",
    "optimization.lr=[0.01]",
    "model.lora_rank=4",
)


def named(folder: str, *more: str) -> list[str]:
    return [f"model.llm={folder}", f"task.text_tokenizer={folder}", "model.tuning=lora", *more]


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    return make_manifest(tmp_path_factory.mktemp("toy"), 10)


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    made = {}
    for family, tied, extra in (("llama", True, 8), ("llama", False, 0), ("gpt2", True, 0)):
        folder = tmp_path_factory.mktemp("base")
        made[family, tied] = save_named_base(folder, family, tied, extra)
    return made


def _checkpoint(toy, folder: Path, *overrides: str) -> Path:
    return train(toy.path, folder, *MORE, *overrides)


def _prompts() -> list[dict]:
    rng = np.random.default_rng(3)
    return [
        {"question": question, "ecg_ids": rng.integers(97, 123, 15 + 5 * k).tolist()}
        for k, question in enumerate(QUESTIONS)
    ]


def _expected(system, prompt: dict) -> tuple[list[int], torch.Tensor, str]:
    vocabulary = system.vocabulary
    # Only letters that the quantiser can give have rows; the toy tokenizer keeps all 26.
    prefix = build_prefix([vocabulary.rows_of(np.array(prompt["ecg_ids"]))], vocabulary)
    rows = [*prefix.tolist(), *system.text_tokenizer.encode(prompt["question"])]
    ids = torch.tensor([rows])
    with torch.no_grad():
        logits = system.model(ids, torch.arange(len(rows))[None])[0]
    options = DecodingOptions(max_new_tokens=8)
    ((answer, _),) = generate_answers(system.model, ids, torch.ones_like(ids), options)
    return rows, logits, system.text_tokenizer.decode(vocabulary.text_rows(answer.tolist()))


@pytest.mark.slow
def test_plain_transformers_gives_our_logits_and_answers(toy, bases, tmp_path):
    llama, untied, gpt2 = (
        bases[key] for key in (("llama", True), ("llama", False), ("gpt2", True))
    )
    frozen = "model.new_rows=frozen_mean"
    cases = {
        "full": ([*SMALL], "model", False),
        "lora-random": ([*SMALL, "model.tuning=lora"], "model", False),
        "gpt2-random": (["model.llm=gpt2_tiny"], "model", False),
        "lora-named": (named(llama), "adapter", False),
        "lora-named-merged": (named(llama), "model", True),
        "lora-untied": (named(untied), "adapter", False),
        "lora-frozen-mean": (named(llama, frozen), "adapter", False),
        "lora-gpt2": (named(gpt2), "adapter", False),
    }
    systems = {}
    for name, (overrides, kind, merge) in cases.items():
        checkpoint = _checkpoint(toy, tmp_path / f"{name}-checkpoints", *overrides)
        out = export_checkpoint(checkpoint, tmp_path / name, merge)
        assert json.loads((out / "ecg_fairseq.json").read_text())["weights"] == kind
        (out / "prompts.json").write_text(json.dumps(_prompts()))
        systems[name] = load_trained_system(checkpoint)
    folders = [str(tmp_path / name) for name in cases]
    command = [sys.executable, "-I", str(SCRIPT), *folders]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    for name, system in systems.items():
        answers = json.loads((tmp_path / name / "answers.json").read_text())
        for prompt, plain in zip(_prompts(), answers, strict=True):
            rows, logits, text = _expected(system, prompt)
            assert plain["rows"] == rows, name
            torch.testing.assert_close(torch.tensor(plain["logits"]), logits, rtol=0, atol=1e-5)
            assert plain["answer"] == text, name


@pytest.fixture(scope="module")
def adapter(toy, bases, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    checkpoint = _checkpoint(toy, folder / "checkpoints", *named(bases["llama", True]))
    return checkpoint, export_checkpoint(checkpoint, folder / "export", merge=False)


def test_an_adapter_is_small_and_complete(adapter, bases):
    _, out = adapter
    names = {path.name for path in out.iterdir()}
    assert names == {
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
        "ecg_fairseq.json",
        "ecg_tokenizer.json",
        "generation_config.json",
        "recipe.json",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert bases["llama", True] in (out / "README.md").read_text()
    from safetensors.torch import load_file

    tensors = load_file(out / "adapter_model.safetensors")
    assert all("lora_" in name or "token_adapter" in name for name in tensors)


def test_the_files_are_those_of_the_manifest(adapter, toy):
    from ecg_fairseq.records.manifest.provenance import Provenance
    from ecg_fairseq.signal.recipes import get_recipe
    from ecg_fairseq.tokenizer import EcgTokenizer

    _, out = adapter
    used = EcgTokenizer.load(toy.path.parent / "tokenizer.json")
    assert EcgTokenizer.load(out / "ecg_tokenizer.json").sha256() == used.sha256()
    recipe = json.loads((out / "recipe.json").read_text())
    assert recipe["hash"] == get_recipe("ecg_byte").hash()
    facts = json.loads((out / "ecg_fairseq.json").read_text())
    assert facts["split_hash"] == toy.split_hash
    told = Provenance.from_state(facts["provenance"])
    assert set(told.patients) == {"toy:patient"}
    assert (told.dataset, told.tokenizer) == ("toy", used.sha256())
    assert list(facts["row_of_ecg_id"]) == [str(k) for k in used.emitted_ids()]
    assert list(facts["row_of_ecg_id"].values()) == list(
        range(facts["num_text_rows"], facts["sig_start_id"])
    )


def test_a_folder_in_use_is_left_alone(adapter, tmp_path):
    checkpoint, _ = adapter
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(EcgError, match="not empty; choose a new folder"):
        export_checkpoint(checkpoint, tmp_path, merge=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_failed_export_leaves_nothing_behind(adapter, tmp_path, monkeypatch):
    from ecg_fairseq.networks.language_model import export

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_json", fail)
    with pytest.raises(EcgError, match=r"cannot write .*No space left"):
        export_checkpoint(adapter[0], tmp_path / "out", merge=False)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_export_left_is_removed(tmp_path):
    for name in (".out.export-a1b2c3d4", ".other.export-a1b2c3d4"):
        (tmp_path / name / "export").mkdir(parents=True)
    with _unfinished_folder(tmp_path / "out") as folder:
        assert Path(folder).is_dir()
    assert [path.name for path in tmp_path.iterdir()] == [".other.export-a1b2c3d4"]
