"""Settings of the task ``ecg_qa``."""

from dataclasses import dataclass, field
from typing import Optional

from omegaconf import II, MISSING

from ecg_fairseq.compat import AUTOCAST, COMMON_PRECISION
from ecg_fairseq.networks.language_model.layout import DEFAULT_LAYOUT
from ecg_fairseq.tasks.provenance_task import ProvenanceConfig


@dataclass
class EcgQaConfig(ProvenanceConfig):
    """Settings of the task."""

    data: str = field(default=MISSING, metadata={"help": "manifest folder"})
    ecg_tokenizer: Optional[str] = field(
        default=None,
        metadata={
            "help": "ECG tokenizer file (default: the one named in the manifest's meta.json)"
        },
    )
    text_tokenizer: str = field(
        default="corpus",
        metadata={
            "help": "corpus: trained on the training questions; else a local folder or hub name, "
            "the same as model.llm"
        },
    )
    prompt_layout: str = field(
        default=DEFAULT_LAYOUT,
        metadata={
            "help": "how question, ECG and answer stand in a sequence: a layout of "
            "networks/language_model/layouts, or the path of a .yaml file"
        },
    )
    text_vocab_size: int = field(
        default=1024, metadata={"help": "most ids of a corpus text tokenizer"}
    )
    max_sequence: int = field(
        default=1024, metadata={"help": "longest sequence in tokens, ECG and text together"}
    )
    pairs_per_ecg: int = field(
        default=1, metadata={"help": "questions packed behind one copy of their ECG in training"}
    )
    autocast: str = field(
        default="none", metadata={"help": f"mixed precision: {', '.join(AUTOCAST)}"}
    )
    skip_closed_set: bool = field(
        default=False,
        metadata={"help": "fairseq-generate writes the free-text answer only, which is faster"},
    )
    blind: bool = field(
        default=False,
        metadata={"help": "fairseq-generate shows another patient's ECG of the same template"},
    )
    max_new_tokens: Optional[int] = field(
        default=None,
        metadata={
            "help": "longest answer in text tokens (default: 64, or as the longest training answer)"
        },
    )
    seed: int = II("common.seed")
    results_path: Optional[str] = II("common_eval.results_path")
    num_shards: int = II("dataset.num_shards")
    shard_id: int = II("dataset.shard_id")
    common_precision: str = COMMON_PRECISION
