"""Small language models and tokenizers for tests, random or saved as a Hugging Face folder."""

import json
from pathlib import Path

import numpy as np
import torch

from ecg_fairseq.networks.language_model.config import LanguageModelConfig
from ecg_fairseq.networks.language_model.language_model import EcgLanguageModel
from ecg_fairseq.networks.language_model.layout import load_layout
from ecg_fairseq.networks.language_model.prompt import pad_packed
from ecg_fairseq.networks.language_model.prompt_builder import PromptBuilder
from ecg_fairseq.networks.language_model.prompt_builder import build_prefix as build_prefix
from ecg_fairseq.networks.language_model.text_tokenizer import (
    TextTokenizer,
    load_text_tokenizer,
    train_text_tokenizer,
)
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

FAMILIES = ("tiny", "gpt2_tiny", "opt_tiny", "gemma_tiny")
TEXTS = ("Does this ECG show a tall pulse?", "What form is new?", "yes", "no", "tall pulse; none")
ECG_IDS = tuple(range(97, 123))
SMALL = {
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 2,
    "intermediate_size": 48,
    "max_positions": 256,
}


def text_tokenizer() -> TextTokenizer:
    """A corpus tokenizer over :data:`TEXTS`."""
    return train_text_tokenizer(TEXTS, 300)


def vocabulary_of(text: TextTokenizer, ecg_ids: tuple[int, ...] = ECG_IDS) -> EcgVocabulary:
    """Text rows, then the letters, then the special rows."""
    return EcgVocabulary(text.num_rows, ecg_ids, text.bos_id, text.eos_id)


def builder_of(vocabulary: EcgVocabulary) -> PromptBuilder:
    """ECG-Byte's sequences, whose pieces hold no text of their own."""
    return PromptBuilder(load_layout("ecg_byte"), vocabulary, None)


def build(
    text: TextTokenizer, seed: int = 1, vocabulary: EcgVocabulary | None = None, **settings
) -> EcgLanguageModel:
    """Build a model in evaluation mode; presets are made small unless told otherwise."""
    config = LanguageModelConfig(**settings)
    if config.llm in FAMILIES:
        config = LanguageModelConfig(**{**SMALL, **settings})
        if config.llm == "tiny" and config.num_key_value_heads is None:
            config.num_key_value_heads = 1
    vocabulary = vocabulary or vocabulary_of(text)
    fingerprint = vocabulary.fingerprint(text.sha256(), "ecg")
    return EcgLanguageModel(config, vocabulary, fingerprint, seed).eval()


def save_named_base(
    folder: Path, family: str = "llama", tied: bool = True, extra_rows: int = 0
) -> str:
    """Save a small pretrained model with its fast tokenizer; return the folder as ``model.llm``."""
    import transformers

    text = text_tokenizer()
    text.tokenizer.save_pretrained(folder)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    shape |= {"max_position_embeddings": 1024, "tie_word_embeddings": tied}
    shape |= {"vocab_size": text.size + extra_rows}
    names = {"llama": "Llama", "gpt2": "GPT2", "opt": "OPT", "gemma": "Gemma"}
    if family in ("llama", "gemma"):
        shape |= {"intermediate_size": 48, "num_key_value_heads": 1, "head_dim": 16}
    if family == "opt":
        shape |= {"word_embed_proj_dim": 32, "ffn_dim": 48}
    config = getattr(transformers, f"{names[family]}Config")(**shape)
    with torch.random.fork_rng():
        torch.manual_seed(11)
        model = transformers.AutoModelForCausalLM.from_config(config)
        spread = 0.1 * torch.randn_like(model.get_input_embeddings().weight)
        model.get_input_embeddings().weight.data.copy_(spread)
    model.save_pretrained(folder)
    return str(folder)


def random_rows(vocabulary: EcgVocabulary, length: int, seed: int, text: bool) -> np.ndarray:
    """Return random rows of text, or of ECG tokens."""
    rng = np.random.default_rng(seed)
    if text:
        return rng.integers(4, vocabulary.num_text_rows, length)
    return vocabulary.num_text_rows + rng.integers(0, len(vocabulary.ecg_ids), length)


def logits_of(model: EcgLanguageModel, sequences, with_segments: bool = True) -> torch.Tensor:
    """Return logits (B, S, V) of packed sequences, padded at their right end."""
    batch = {
        name: torch.from_numpy(array)
        for name, array in pad_packed(sequences, model.vocabulary.pad_id).items()
    }
    with torch.no_grad():
        return model(
            batch["input_ids"],
            batch["position_ids"],
            batch["segment_ids"] if with_segments else None,
        ).float()


def train_two_steps(model: EcgLanguageModel, sequences) -> list[float]:
    """Two Adam updates on the labels of packed sequences; return the losses."""
    batch = {
        name: torch.from_numpy(array)
        for name, array in pad_packed(sequences, model.vocabulary.pad_id).items()
    }
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-2)
    losses = []
    model.train()
    for _ in range(2):
        logits = model(batch["input_ids"], batch["position_ids"], batch["segment_ids"])
        loss = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), batch["labels"][:, 1:].flatten()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    model.eval()
    return losses


def save_family(folder: Path, config: str, generation: dict | None = None, **shape) -> str:
    """Save a small model of any transformers family with its tokenizer; return the folder.

    Weights are large enough for attention to matter; a bias of the output head is not zero.
    """
    import transformers

    text = text_tokenizer()
    text.tokenizer.save_pretrained(folder)
    shape = {"vocab_size": text.size, "bos_token_id": 1, "eos_token_id": 2, **shape}
    with torch.random.fork_rng():
        torch.manual_seed(11)
        made = getattr(transformers, config)(**shape)
        model = transformers.AutoModelForCausalLM.from_config(made)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.ndim > 1:
                    weight.mul_(3)
            head = model.get_output_embeddings()
            if getattr(head, "bias", None) is not None:
                head.bias.copy_(torch.linspace(-3, 3, len(head.bias)))
    model.save_pretrained(folder)
    if generation is not None:
        (Path(folder) / "generation_config.json").write_text(json.dumps(generation))
    return str(folder)


def build_family(folder: str, **settings) -> EcgLanguageModel:
    """Build the model over a folder of :func:`save_family`."""
    text = load_text_tokenizer(folder)
    return build(text, **{"llm": folder, "tuning": "lora", "lora_rank": 4, **settings})
