"""The README.md of an exported model."""

from typing import Any

from ecg_fairseq.networks.language_model.trained_system import TrainedSystem
from ecg_fairseq.tokenizer import EcgTokenizer, EcgTokens

_LOADING = {
    "model": """from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained("FOLDER")
tokenizer = AutoTokenizer.from_pretrained("FOLDER")""",
    "adapter": """from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
base = AutoModelForCausalLM.from_pretrained("{base}")
base.resize_token_embeddings({rows}, mean_resizing=False)
base.generation_config = GenerationConfig.from_pretrained("FOLDER")
model = PeftModel.from_pretrained(base, "FOLDER")""",
}


def model_card(system: TrainedSystem, kind: str, results: dict[str, Any] | None) -> str:
    """Return the card as Markdown.

    Args:
        system: what is exported.
        kind: ``model`` or ``adapter``.
        results: figures of a scored run, or None: then the card says that none were given.
    """
    config, vocabulary = system.model.config, system.vocabulary
    loading = _LOADING[kind].format(base=config.llm, rows=vocabulary.size)
    library = "transformers" if kind == "model" else "peft"
    base = "" if system.model.has_random_base else f"base_model: {config.llm}\n"
    return f"""---
library_name: {library}
{base}tags: [ecg, question-answering, ecg-byte]
---
# ECG question answering ({config.llm}, {config.tuning} tuning)

Reads a 12-lead ECG as byte-pair tokens and answers questions about it in words. For research: it is
not a medical device and must not be used for diagnosis.

| what | value |
|---|---|
| recipe | {system.recipe.name}, hash {system.recipe.hash()[:16]} |
| ECG tokenizer | {_ecg_tokens(system.ecg_tokenizer)} |
| rows | {vocabulary.num_text_rows} text, {vocabulary.num_new_rows} ECG and special |
| longest sequence | {system.max_sequence} tokens |
| training updates | {system.num_updates} |
| split hash | {system.split_hash[:16]} |

## Load
```python
{loading}
```
`generation_config.json` makes `generate` greedy and keeps it to text, whatever the base's own
settings ask for.
`ecg_fairseq.json` tells the prompt layout and the row of every ECG token, `ecg_tokenizer.json` and
`recipe.json` how a recording becomes tokens. A question that contains the name of an ECG token
(`signal_12`) would be read as that token by this tokenizer; encode questions with
`split_special_tokens=True`.

## Results
{_result_table(results)}
"""


def _ecg_tokens(tokens: EcgTokens) -> str:
    """Return what the ECG tokens are, in words."""
    if isinstance(tokens, EcgTokenizer):
        return f"{tokens.num_merges} merges, mode {tokens.mode}"
    return f"kind {tokens.kind}, {tokens.num_ids} ids"


def _result_table(results: dict[str, Any] | None) -> str:
    """Return the headline figures with their floors."""
    if results is None:
        return "No scored run was given at export."
    rows = [
        ("exact match", "exact_match"),
        ("floor: majority answer per template", "majority_exact_match"),
        ("floor: another patient's ECG", "blind_exact_match"),
        ("test questions", "n_test"),
    ]
    lines = ["| figure | value |", "|---|---|"]
    lines += [f"| {name} | {results[key]} |" for name, key in rows if key in results]
    return "\n".join(lines)
