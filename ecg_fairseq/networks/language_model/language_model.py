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
from ecg_fairseq.networks.language_model.base.attention import AttentionRule, attention_rule
from ecg_fairseq.networks.language_model.base.loading import (
    add_rows,
    embedding_modules,
    embedding_tables,
    forget_generation_settings,
    max_positions,
    named_base,
    random_base,
)
from ecg_fairseq.networks.language_model.config import LanguageModelConfig
from ecg_fairseq.networks.language_model.presets import PRESETS
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary


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
    #: what the base's layers see, and whether it can take packed sequences
    attention: AttentionRule
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
        config, vocabulary = self.config, self.vocabulary
        llm = random_base(config, vocabulary) if self.has_random_base else named_base(config)
        if not self.has_random_base:
            add_rows(llm, vocabulary, config.new_rows)
        forget_generation_settings(llm)
        llm.config.pad_token_id = vocabulary.pad_id
        self.attention = attention_rule(llm, config.llm)
        if config.gradient_checkpointing:
            llm.gradient_checkpointing_enable({"use_reentrant": False})
            llm.enable_input_require_grads()
        if "all" not in config.trains:
            llm = _train_parts(llm, config, vocabulary)
        return llm

    def max_positions(self) -> int:
        """Longest sequence the base can place."""
        return max_positions(self.llm)

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
        mask = None if segment_ids is None else self._mask(segment_ids, position_ids)
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

    def _mask(self, segment_ids: Tensor, position_ids: Tensor) -> Any:
        """Return the mask of packed sequences; EcgError where the base would not keep to it."""
        if not self.attention.packs:
            raise EcgError(
                f"language model {self.config.llm!r} cannot take several questions behind one ECG "
                "(its attention counts places by itself); set task.pairs_per_ecg=1"
            )
        return self.attention.mask(segment_ids, position_ids)

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
            for name, weight in embedding_tables(self.llm).items():
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


def _rows_to_train(llm: Any, vocabulary: EcgVocabulary) -> dict[str, list[int]]:
    """Return the ECG rows of every table by the name of its module, as peft wants them."""
    rows = list(range(vocabulary.num_text_rows, vocabulary.size))
    names = {module: name.rpartition(".")[2] for name, module in llm.named_modules()}
    return {names[module]: rows for module in embedding_modules(llm).values()}


def _train_parts(llm: Any, config: LanguageModelConfig, vocabulary: EcgVocabulary) -> Any:
    """Freeze the base; add and unfreeze what the settings name."""
    rows = _rows_to_train(llm, vocabulary) if "new_rows" in config.trains else None
    if "lora" in config.trains or rows is not None:
        llm = _with_adapters(llm, config, rows)
    else:
        llm.requires_grad_(False)
    if "norms" in config.trains:
        for module in llm.modules():
            if "norm" in type(module).__name__.lower():
                module.requires_grad_(True)
    for weight in llm.parameters():
        if weight.requires_grad:
            weight.data = weight.data.float()
    return llm


def _with_adapters(llm: Any, config: LanguageModelConfig, rows: dict[str, list[int]] | None) -> Any:
    """Return the frozen base with LoRA, trained rows, or both.

    Raises:
        EcgError: this kind of base cannot have them, with peft's reason.
    """
    from peft import LoraConfig, TrainableTokensConfig, get_peft_model

    adapters: Any
    if "lora" in config.trains:
        adapters = LoraConfig(
            r=config.lora_rank,
            lora_alpha=config.lora_alpha,  # type: ignore[arg-type]  # peft takes any number
            lora_dropout=config.lora_dropout,
            bias="none",
            task_type="CAUSAL_LM",
            target_modules=list(config.lora_targets) or "all-linear",
            trainable_token_indices=rows,
        )
    else:
        tables = rows or {}
        adapters = TrainableTokensConfig(
            token_indices=next(iter(tables.values())),
            target_modules=list(tables),
            task_type="CAUSAL_LM",
        )
    try:
        llm = get_peft_model(llm, adapters)
    except (ValueError, TypeError, AttributeError, NotImplementedError) as cause:
        raise EcgError(
            f"model.tuning={config.tuning} does not fit language model {config.llm!r}: "
            f"{first_line(cause)}; set model.lora_dropout=0 if it is about dropout (experts that "
            "lie in one tensor), name linear layers of the decoder in model.lora_targets, or set "
            "model.tuning=full"
        ) from cause
    for table in trained_tables(llm):
        _keep_bias(table, config.llm)
    return llm


def trained_tables(llm: Any) -> list[Any]:
    """Return peft's layers around the tables whose new rows train."""
    from peft.tuners.trainable_tokens import TrainableTokensLayer

    return [module for module in llm.modules() if isinstance(module, TrainableTokensLayer)]


def drops_bias(table: Any) -> bool:
    """Tell whether peft's layer around an output table leaves the table's bias out.

    It does (huggingface/peft issue 3649) in Phi, GPT-J and CodeGen, whose heads have one.
    """
    return any(hook is _add_bias for hook in table._forward_hooks.values())


def _keep_bias(table: Any, name: str) -> None:
    """Make an untrained layer around a table give what the table gives; EcgError if it cannot."""
    base = table.get_base_layer()
    if base.weight.is_meta:
        return  # a shape without weights gives nothing
    if isinstance(base, nn.Linear):
        example = base.weight.new_ones(1, base.in_features)
    else:
        example = torch.arange(4, device=base.weight.device)[None]
    with torch.no_grad():
        wanted, given = base(example), table(example)
        if torch.equal(wanted, given):
            return
        if getattr(base, "bias", None) is not None:
            table.register_forward_hook(_add_bias)
        if not torch.allclose(wanted, table(example), rtol=1e-2, atol=1e-4):
            raise EcgError(
                f"the rows of language model {name!r} cannot be trained by themselves: peft's "
                f"layer around its {type(base).__name__} does not give what that gives; set "
                "model.tuning=full, or keep the new rows frozen (model.new_rows=frozen_mean)"
            )


def _add_bias(table: Any, inputs: Any, output: Tensor) -> Tensor | None:
    """Forward hook: add the bias where peft multiplies with the table alone."""
    if table.merged or table.disable_adapters or not table.active_adapters:
        return None
    return output + table.get_base_layer().bias.to(output.dtype)
