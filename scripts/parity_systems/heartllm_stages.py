"""HeartLLM's instruction tuning against its record: sequences, losses, gradients, greedy answers.

A folder holds the base model, full checkpoints before and after tuning, ``stage3.*`` and
``inference.*`` (layout: its README). Sequences are built by our prompt layouts from the entries'
texts, losses by our language model; both stages' weights are put into it by name.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from ecg_fairseq.networks.checkpoint_file import read_torch_file
from ecg_fairseq.networks.heartllm.checkpoint import network_of
from ecg_fairseq.networks.language_model.config import LanguageModelConfig
from ecg_fairseq.networks.language_model.language_model import EcgLanguageModel
from ecg_fairseq.networks.language_model.layout import load_layout
from ecg_fairseq.networks.language_model.prompt import PackedSequence
from ecg_fairseq.networks.language_model.prompt_builder import PromptBuilder
from ecg_fairseq.networks.language_model.text_tokenizer import TextTokenizer, load_text_tokenizer
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary
from ecg_fairseq.tokenizer import FsqTokens
from parity_systems.check import Check

LOSS_TOLERANCE, NLL_TOLERANCE, RELATIVE_NORM_TOLERANCE = 2e-5, 1e-4, 1e-4
AFTER_STEP_TOLERANCE = 1e-4
_FILES = ("base_llm", "ckpt_stage2.safetensors", "stage3.json", "stage3.npz", "fsq_best.pt")
_PREFIX, _ENCODER = "llm_model.", "enc."
_EMBEDDING = "base_model.model.model.embed_tokens.weight"
_IGNORED = -100


def checks(case_dir: Path) -> Iterator[Check]:
    """Yield the comparisons of a folder of the later stages."""
    if not all((case_dir / name).exists() for name in _FILES):
        return
    system = _System.open(case_dir)
    facts = json.loads((case_dir / "vocab.json").read_text(encoding="utf-8"))
    vocabulary = system.vocabulary
    for name, ours in (
        ("embedding_rows", vocabulary.size),
        ("ecg_offset", vocabulary.first_ecg_row),
        ("pad_id", vocabulary.pad_id),
    ):
        yield Check(f"vocab/{name}", abs(ours - facts[name]), 0)
    stage3 = json.loads((case_dir / "stage3.json").read_text(encoding="utf-8"))
    with np.load(case_dir / "stage3.npz", allow_pickle=False) as arrays:
        for name, case in stage3["cases"].items():
            recorded = _of_case(arrays, name)
            system.load("ckpt_stage2", keeps_base_text=True)
            yield from _case_checks(system, name, case, recorded)
    inference = json.loads((case_dir / "inference.json").read_text(encoding="utf-8"))
    with np.load(case_dir / "inference.npz", allow_pickle=False) as arrays:
        for name, case in inference["cases"].items():
            system.load(f"ckpt_{case['checkpoint']}", case["checkpoint"] == "stage2")
            yield from _answer_checks(system, name, case, _of_case(arrays, name))


@dataclass
class _System:
    """The tiny base with LoRA, its vocabulary and text tokenizer."""

    folder: Path
    text: TextTokenizer
    vocabulary: EcgVocabulary
    model: EcgLanguageModel
    base_rows: Tensor
    codes: Mapping[str, np.ndarray]

    @classmethod
    def open(cls, folder: Path) -> "_System":
        text = load_text_tokenizer(str(folder / "base_llm"))
        sizes = json.loads((folder / "set.json").read_text(encoding="utf-8"))["fsq"]
        config = {
            "in_d": sizes["leads"],
            "channels_per_lead": sizes["channels_per_lead"],
            "levels": [sizes["levels"]] * sizes["dim_code"],
        }
        stored = read_torch_file(folder / "fsq_best.pt")["model"]
        tokens = FsqTokens(network_of(config, stored, "fsq_best.pt"))
        vocabulary = EcgVocabulary.build(load_layout("heartllm_qa").rows, text, tokens)
        lora = json.loads((folder / "stage3.json").read_text(encoding="utf-8"))["lora"]
        settings = LanguageModelConfig(
            llm=str(folder / "base_llm"),
            tuning="lora+norms",
            lora_rank=lora["r"],
            lora_alpha=lora["lora_alpha"],
            lora_dropout=lora["dropout"],
            lora_targets=lora["target_modules"],
            attention="eager",
        )
        model = EcgLanguageModel(settings, vocabulary, bytes(32), 1).eval()
        rows = model.llm.get_input_embeddings().weight.detach()[: vocabulary.num_text_rows]
        with np.load(folder / "ecg_codes.npz", allow_pickle=False) as arrays:
            codes = dict(zip(sizes["records"], arrays["codes"], strict=True))
        return cls(folder, text, vocabulary, model, rows.clone(), codes)

    def load(self, name: str, keeps_base_text: bool) -> None:
        """Put the weights of a full checkpoint into the model; all of its keys must be there."""
        tensors = {
            key.removeprefix(_PREFIX): tensor
            for key, tensor in load_file(self.folder / f"{name}.safetensors").items()
            if not key.startswith(_ENCODER)
        }
        if keeps_base_text:
            tensors[_EMBEDDING][: len(self.base_rows)] = self.base_rows
            tensors.pop("base_model.model.lm_head.weight", None)
        own = dict(self.model.llm.state_dict())
        if missing := set(own) - set(tensors) - {"base_model.model.lm_head.weight"}:
            raise ValueError(f"{name} lacks {sorted(missing)[:4]}")
        with torch.no_grad():
            for key, tensor in tensors.items():
                own[key].copy_(tensor)

    def builder(self, task: str) -> PromptBuilder:
        return PromptBuilder(load_layout(f"heartllm_{task}"), self.vocabulary, self.text)

    def sequence(self, task: str, item: Mapping[str, Any], codes: np.ndarray) -> PackedSequence:
        """Return the sequence of an entry of a list, as our layout builds it."""
        builder, entry = self.builder(task), item["entry"]
        header = entry["background"].split("Recording Details:")[0]
        asked = self.text.encode(builder.question_text(entry.get("question", ""), header))
        wording = item["target_text"].removesuffix(self.text.tokenizer.eos_token)
        answer = builder.answer_ids(self.text.encode(wording))
        return builder.pack([self.vocabulary.rows_of(codes)], [(asked, answer)], header)

    def prompt(self, task: str, entry: Mapping[str, Any]) -> np.ndarray:
        """Return everything before the answer to an entry of a test list."""
        builder = self.builder(task)
        header = entry["background"].split("Recording Details:")[0]
        asked = self.text.encode(builder.question_text(entry.get("question", ""), header))
        codes = self.codes[str(entry.get("ecg_path") or entry.get("filepath"))]
        return builder.prompt(asked, [self.vocabulary.rows_of(codes)], header)

    def losses(self, ids: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        """Return the loss of every label (B, S), 0 where there is none; rows are left-padded."""
        positions = (mask.cumsum(-1) - 1).clamp_min(0)
        output = self.model.llm(input_ids=ids, attention_mask=mask, position_ids=positions)
        logits = output.logits[:, :-1].transpose(1, 2)
        found = F.cross_entropy(logits, labels[:, 1:], ignore_index=_IGNORED, reduction="none")
        return F.pad(found, (1, 0))


def _of_case(arrays: Any, name: str) -> dict[str, np.ndarray]:
    keys = [key for key in arrays.files if key.startswith(f"{name}/")]
    return {key.removeprefix(f"{name}/"): arrays[key] for key in keys}


def _left_padded(rows: Sequence[np.ndarray], fill: int) -> np.ndarray:
    longest = max(map(len, rows))
    return np.stack([np.pad(row, (longest - len(row), 0), constant_values=fill) for row in rows])


def _num_differing(ours: np.ndarray, theirs: np.ndarray) -> float:
    return float((ours != theirs).sum()) if ours.shape == theirs.shape else float("inf")


def _case_checks(
    system: _System, name: str, case: Mapping[str, Any], recorded: Mapping[str, np.ndarray]
) -> Iterator[Check]:
    items = zip(case["items"], recorded["ecg_codes"], strict=True)
    made = [system.sequence(case["task"], item, codes) for item, codes in items]
    ours = {
        "input_ids": _left_padded([one.input_ids for one in made], system.vocabulary.pad_id),
        "labels": _left_padded([one.labels for one in made], _IGNORED),
        "attention_mask": _left_padded([np.ones(len(one.labels), int) for one in made], 0),
    }
    for key, array in ours.items():
        yield Check(f"{name}/{key}", _num_differing(array, recorded[key]), 0)
    if any(ours[key].shape != recorded[key].shape for key in ours):
        return
    batch = [torch.from_numpy(ours[key]).long() for key in ours]
    nll = system.losses(*batch)
    num_targets = int((batch[1] != _IGNORED).sum())
    yield Check(f"{name}/n_target_tokens", abs(num_targets - case["n_target_tokens"]), 0)
    gap = float(np.abs(nll.detach().numpy() - recorded["token_nll"]).max())
    yield Check(f"{name}/token_nll", gap, NLL_TOLERANCE)
    loss = nll.sum() / num_targets
    yield Check(f"{name}/loss", abs(loss.item() - case["loss"]), LOSS_TOLERANCE)
    yield from _gradient_checks(system, name, case, loss)
    weights = [weight for weight in system.model.parameters() if weight.requires_grad]
    adam = case["adam"]
    torch.optim.Adam(weights, adam["lr"], adam["betas"], adam["eps"], adam["weight_decay"]).step()
    with torch.no_grad():
        after = float(system.losses(*batch).sum()) / num_targets
    wanted = case["loss_after_one_adam_step"]
    yield Check(f"{name}/loss_after_one_adam_step", abs(after - wanted), AFTER_STEP_TOLERANCE)


def _gradient_checks(
    system: _System, name: str, case: Mapping[str, Any], loss: Tensor
) -> Iterator[Check]:
    system.model.zero_grad()
    loss.backward()
    norms = {
        f"{_PREFIX}{key}": float(weight.grad.norm())
        for key, weight in system.model.llm.named_parameters()
        if weight.requires_grad and weight.grad is not None
    }
    wanted = case["grad_norms"]
    yield Check(f"{name}/trainable", len(set(norms) ^ set(wanted)), 0)
    gaps = [abs(norms.get(key, np.inf) - norm) / max(norm, 1e-12) for key, norm in wanted.items()]
    yield Check(f"{name}/relative_grad_norms", max(gaps), RELATIVE_NORM_TOLERANCE)


def _answer_checks(
    system: _System, name: str, case: Mapping[str, Any], recorded: Mapping[str, np.ndarray]
) -> Iterator[Check]:
    ids = torch.from_numpy(recorded["prompt_ids"]).long()
    mask = torch.from_numpy(recorded["attention_mask"]).long()
    end = system.vocabulary.eos_id
    made = [system.prompt(case["task"], entry) for entry in case["entries"]]
    ours = _left_padded(made, system.vocabulary.pad_id)
    yield Check(f"{name}/prompt_ids", _num_differing(ours, recorded["prompt_ids"]), 0)
    found = _greedy(system, ids, mask, case["max_new_tokens"], end)
    theirs = recorded["generated_ids"]
    yield Check(f"{name}/generated_ids", _num_differing(found[:, : theirs.shape[1]], theirs), 0)
    rest = found[:, theirs.shape[1] :]
    yield Check(f"{name}/after_the_last_end", float((rest != end).sum()), 0)


def _greedy(system: _System, ids: Tensor, mask: Tensor, num_tokens: int, end: int) -> np.ndarray:
    """Return the likeliest rows (B, num_tokens), of all rows there are; ends are repeated."""
    first = ids.shape[1]
    has_ended = torch.zeros(len(ids), dtype=torch.bool)
    for _ in range(num_tokens):
        positions = (mask.cumsum(-1) - 1).clamp_min(0)
        with torch.no_grad():
            output = system.model.llm(input_ids=ids, attention_mask=mask, position_ids=positions)
        chosen = output.logits[:, -1].argmax(-1).masked_fill(has_ended, end)
        has_ended |= chosen == end
        ids = torch.cat([ids, chosen.unsqueeze(1)], dim=1)
        mask = F.pad(mask, (0, 1), value=1)
    return ids[:, first:].numpy()
