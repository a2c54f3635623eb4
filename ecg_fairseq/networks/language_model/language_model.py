"""A Hugging Face causal language model with rows for ECG tokens.

Differences from the published model, each for a reason given in fact sheet ecg-byte.md 3.2:
- rows only for ECG ids that occur, in ascending order, instead of a hash map's order;
- new rows are drawn with the old rows' mean and spread and are trained, also under LoRA; published,
  they all sit at the mean and stay frozen (``new_rows=frozen_mean``);
- fp32 weights with autocast around, instead of bf16 weights.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ecg_fairseq.errors import CheckpointError, EcgError, first_line
from ecg_fairseq.networks.language_model.config import LanguageModelConfig
from ecg_fairseq.networks.language_model.presets import PRESETS, preset_config
from ecg_fairseq.networks.language_model.prompt import PREFIX_SEGMENT
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

# The published resize drew new rows from the old covariance times this (fact sheet 3.2).
_PUBLISHED_COVARIANCE_SCALE = 1e-9


class EcgLanguageModel(nn.Module):
    """Causal language model over text and ECG tokens.

    Args:
        config: settings.
        vocabulary: the id space; its fingerprint travels with the weights.
        fingerprint: 32 bytes of :meth:`EcgVocabulary.fingerprint`.
        seed: for the random rows and random weights.
    """

    # transformers' and peft's classes set their attributes dynamically
    llm: Any
    fingerprint: Tensor

    def __init__(
        self, config: LanguageModelConfig, vocabulary: EcgVocabulary, fingerprint: bytes, seed: int
    ) -> None:
        super().__init__()
        config.check()
        self.config = config
        self.vocabulary = vocabulary
        self.has_random_base = config.llm in PRESETS
        devices = list(range(torch.cuda.device_count()))
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            self.llm = self._build()
        self.register_buffer(
            "fingerprint", torch.tensor(list(fingerprint), dtype=torch.uint8), persistent=True
        )

    def _build(self) -> Any:
        """Build the base, add the ECG rows, then the adapters."""
        llm = _random_base(self) if self.has_random_base else _named_base(self.config)
        if not self.has_random_base:
            _add_rows(llm, self.vocabulary, self.config.new_rows)
        llm.config.pad_token_id = self.vocabulary.pad_id
        if self.config.gradient_checkpointing:
            llm.gradient_checkpointing_enable({"use_reentrant": False})
            llm.enable_input_require_grads()
        if "all" not in self.config.trains:
            llm = _train_parts(llm, self.config, self.vocabulary)
        return llm

    def max_positions(self) -> int:
        """Longest sequence the base can place."""
        return int(self.llm.config.max_position_embeddings)

    def forward(
        self,
        input_ids: Tensor,
        position_ids: Tensor,
        segment_ids: Tensor | None = None,
        logits_to_keep: Tensor | int = 0,
        features: Tensor | None = None,
        feature_mask: Tensor | None = None,
    ) -> Tensor:
        """Return logits (B, S', V).

        Args:
            input_ids: (B, S), padded at the right end.
            position_ids: (B, S).
            segment_ids: (B, S) as in :mod:`prompt`; None when every row is one plain sequence: then
                no mask is needed, because padding stands behind every token that counts.
            logits_to_keep: positions (S',) of the logits wanted, the same in each row; 0 for all.
            features: vectors (B, K, D) for the places of ``input_ids`` that hold the layout's
                feature row, in order; None for a sequence of rows alone.
            feature_mask: which of them count (B, K) bool; None for all.
        """
        mask = None if segment_ids is None else self._attention_mask(segment_ids)
        output = self.llm(
            **self.inputs(input_ids, features, feature_mask),
            position_ids=position_ids,
            attention_mask=mask,
            logits_to_keep=logits_to_keep,
            use_cache=False,
        )
        return output.logits

    def inputs(
        self, input_ids: Tensor, features: Tensor | None = None, feature_mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return what the base reads: the rows, or embeddings with feature vectors among them.

        Raises:
            EcgError: the rows have not as many places for feature vectors as are given.
        """
        if features is None:
            return {"input_ids": input_ids}
        if feature_mask is None:
            feature_mask = features.new_ones(features.shape[:2], dtype=torch.bool)
        feature_id = -1 if self.vocabulary.feature_id is None else self.vocabulary.feature_id
        places = input_ids == feature_id
        if not torch.equal(places.sum(1), feature_mask.sum(1)):
            raise EcgError(
                f"{feature_mask.sum(1).tolist()} feature vectors are given for "
                f"{places.sum(1).tolist()} places in the sequences of this batch; build them with "
                "a layout that has ecg: features, one place a vector"
            )
        embeddings = self.llm.get_input_embeddings()(input_ids)
        counted = features[feature_mask].to(embeddings.dtype)
        return {"inputs_embeds": embeddings.masked_scatter(places.unsqueeze(-1), counted)}

    def _attention_mask(self, segment_ids: Tensor) -> Tensor:
        """Return who may look at whom (B, 1, S, S): the past in the prefix or the own segment."""
        length = segment_ids.shape[1]
        past = torch.ones(length, length, dtype=torch.bool, device=segment_ids.device).tril()
        keys, queries = segment_ids[:, None, :], segment_ids[:, :, None]
        allowed = (past & ((keys == PREFIX_SEGMENT) | (keys == queries))).unsqueeze(1)
        if self.config.attention == "sdpa":
            return allowed
        floor = torch.finfo(torch.float32).min
        return torch.zeros(allowed.shape, device=allowed.device).masked_fill(~allowed, floor)

    def checkpoint_tensors(self) -> dict[str, Tensor]:
        """Return the tensors that a checkpoint must hold, as views of the model's own.

        Everything that cannot be rebuilt from a named file: all weights of a randomly initialised
        base, else the trained ones, the new embedding rows in any case, and the fingerprint.
        """
        full = super().state_dict()
        if self.has_random_base or "all" in self.config.trains:
            return full
        trained = {name for name, weight in self.named_parameters() if weight.requires_grad}
        tensors = {name: full[name] for name in full if name in trained or name == "fingerprint"}
        if "new_rows" not in self.config.trains:
            for name, weight in _embedding_tables(self.llm).items():
                tensors[f"frozen_rows.{name}"] = weight.detach()[self.vocabulary.num_text_rows :]
        return tensors

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:  # type: ignore[override]
        """Return :meth:`checkpoint_tensors`; ``prefix`` and ``destination`` work as in torch."""
        destination = kwargs.get("destination", args[0] if args else None)
        destination = {} if destination is None else destination
        prefix = kwargs.get("prefix", "")
        for name, value in self.checkpoint_tensors().items():
            destination[prefix + name] = value
        return destination

    def load_checkpoint_tensors(self, state: dict[str, Tensor]) -> None:
        """Load what :meth:`state_dict` gave; nothing may be missing or left over.

        Raises:
            CheckpointError: keys or shapes differ, or the vocabulary is another one.
        """
        stored = state.get("fingerprint")
        if stored is not None and not torch.equal(stored.cpu(), self.fingerprint.cpu()):
            raise CheckpointError(
                "the checkpoint was trained with another vocabulary (text tokenizer, ECG tokenizer "
                "or ECG ids differ from those of this manifest); point task.data to the manifest "
                "and tokenizer that it was trained with"
            )
        own = self.checkpoint_tensors()
        missing, unexpected = sorted(set(own) - set(state)), sorted(set(state) - set(own))
        if missing or unexpected:
            raise CheckpointError(
                f"the checkpoint does not fit this model: {len(set(own) & set(state))} tensors "
                f"match, {len(missing)} are missing {missing[:3]}, {len(unexpected)} are "
                f"unexpected {unexpected[:3]}; check model.llm, model.tuning and model.lora_*"
            )
        for name, tensor in own.items():
            if tensor.shape != state[name].shape:
                raise CheckpointError(
                    f"tensor {name} has shape {tuple(state[name].shape)} in the checkpoint but "
                    f"{tuple(tensor.shape)} in this model; check the model's size settings"
                )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(state[name])


def _random_base(model: EcgLanguageModel) -> Any:
    """Build a preset with random weights for the whole vocabulary."""
    from transformers import AutoModelForCausalLM

    config, vocabulary = model.config, model.vocabulary
    overrides = {
        name: getattr(config, name)
        for name in (
            "hidden_size",
            "num_layers",
            "num_heads",
            "num_key_value_heads",
            "intermediate_size",
            "max_positions",
        )
    }
    shape = preset_config(config.llm, vocabulary.size, overrides)
    shape.bos_token_id, shape.eos_token_id = vocabulary.bos_id, vocabulary.eos_id
    shape.pad_token_id = vocabulary.pad_id
    if config.attention_dropout is not None:
        set_attention_dropout(shape, config.attention_dropout)
    return AutoModelForCausalLM.from_config(
        shape, attn_implementation=config.attention, dtype=_base_dtype(config)
    )


def _base_dtype(config: LanguageModelConfig) -> torch.dtype:
    """Return the dtype that the base's weights are made in."""
    return torch.bfloat16 if config.base_dtype == "bfloat16" else torch.float32


def set_attention_dropout(shape: Any, rate: float) -> None:
    """Set the dropout on attention weights, whatever a family calls it."""
    names = [name for name in ("attention_dropout", "attn_pdrop") if hasattr(shape, name)]
    if not names:
        raise EcgError(
            f"model.attention_dropout is not known for {type(shape).__name__}; leave it unset"
        )
    setattr(shape, names[0], rate)


def _named_base(config: LanguageModelConfig) -> Any:
    """Load pretrained weights from a folder or the hub (safetensors only)."""
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        shape = AutoConfig.from_pretrained(config.llm, trust_remote_code=False)
        if config.attention_dropout is not None:
            set_attention_dropout(shape, config.attention_dropout)
        return AutoModelForCausalLM.from_pretrained(
            config.llm,
            config=shape,
            dtype=_base_dtype(config),
            attn_implementation=config.attention,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError) as cause:
        raise EcgError(
            f"language model {config.llm!r} cannot be loaded: it is not a preset "
            f"({', '.join(PRESETS)}), not a local folder with config.json and safetensors, and the "
            f"hub cannot give it ({first_line(cause)}); give a local path or a preset"
        ) from cause


def _add_rows(llm: Any, vocabulary: EcgVocabulary, new_rows: str) -> None:
    """Append the ECG rows to the embedding tables of a pretrained base."""
    old = llm.get_input_embeddings().weight.shape[0]
    if vocabulary.num_text_rows == 0:
        raise EcgError(
            "a prompt layout without text needs a preset with random weights: set model.llm to one "
            f"of {', '.join(PRESETS)}"
        )
    if old != vocabulary.num_text_rows:
        raise EcgError(
            f"the language model has {old} rows but the vocabulary was laid out for "
            f"{vocabulary.num_text_rows}; set task.text_tokenizer to the same name as model.llm"
        )
    llm.resize_token_embeddings(vocabulary.size, mean_resizing=False)
    for weight in _embedding_tables(llm).values():
        with torch.no_grad():
            rows = weight[:old].float()
            spread = rows.std(dim=0)
            if new_rows == "frozen_mean":
                spread = spread * _PUBLISHED_COVARIANCE_SCALE**0.5
            fresh = rows.mean(dim=0) + spread * torch.randn(vocabulary.num_new_rows, rows.shape[1])
            weight[old:] = fresh.to(weight.dtype)


def _embedding_tables(llm: Any) -> dict[str, Tensor]:
    """Return the input table and, where it is not tied to it, the output table."""
    return {name: module.weight for name, module in _embedding_modules(llm).items()}


def _embedding_modules(llm: Any) -> dict[str, Any]:
    """Return the modules behind :func:`_embedding_tables`."""
    modules = {"input": llm.get_input_embeddings()}
    output = llm.get_output_embeddings()
    if output is not None and output.weight is not modules["input"].weight:
        modules["output"] = output
    return modules


def _rows_to_train(llm: Any, vocabulary: EcgVocabulary) -> dict[str, list[int]]:
    """Return the ECG rows of every table by the name of its module, as peft wants them."""
    rows = list(range(vocabulary.num_text_rows, vocabulary.size))
    names = {module: name.rpartition(".")[2] for name, module in llm.named_modules()}
    return {names[module]: rows for module in _embedding_modules(llm).values()}


def _train_parts(llm: Any, config: LanguageModelConfig, vocabulary: EcgVocabulary) -> Any:
    """Freeze the base; add and unfreeze what the settings name."""
    from peft import LoraConfig, TrainableTokensConfig, get_peft_model

    trains = config.trains
    rows = _rows_to_train(llm, vocabulary) if "new_rows" in trains else None
    if "lora" in trains:
        lora = LoraConfig(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # peft takes any number
            lora_dropout=config.lora_dropout,
            bias="none",
            task_type="CAUSAL_LM",
            target_modules=list(config.lora_targets) or "all-linear",
            trainable_token_indices=rows,
        )
        llm = get_peft_model(llm, lora)
    elif rows is not None:
        indices = next(iter(rows.values()))
        tokens = TrainableTokensConfig(
            token_indices=indices, target_modules=list(rows), task_type="CAUSAL_LM"
        )
        llm = get_peft_model(llm, tokens)
    else:
        llm.requires_grad_(False)
    if "norms" in trains:
        for module in llm.modules():
            if "norm" in type(module).__name__.lower():
                module.requires_grad_(True)
    for weight in llm.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return llm
