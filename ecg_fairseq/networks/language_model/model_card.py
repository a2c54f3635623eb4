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

_FIGURES = (
    ("exact match", "exact_match"),
    ("floor: majority answer per template", "majority_exact_match"),
    ("floor: majority answer per wording", "majority_by_wording_exact_match"),
    ("floor: another patient's ECG", "blind_exact_match"),
    ("the same, corrected for small templates", "blind_corrected_exact_match"),
    ("exact match above the majority floor", "exact_match_minus_majority"),
    ("exact match above the blind floor", "exact_match_minus_blind"),
)


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
| trained on | {_trained_on(system)} |
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


def _trained_on(system: TrainedSystem) -> str:
    """Return the dataset in words; a simulated one is called so."""
    name = system.source.dataset or "not known"
    return f"{name}, simulated ECGs" if system.source.is_simulated else name


def _result_table(results: dict[str, Any] | None) -> str:
    """Return the headline figures with their floors, intervals and numbers of questions."""
    if results is None:
        return "No scored run was given at export."
    given = results.get("intervals")
    intervals = given if isinstance(given, dict) else {}
    lines = [
        f"{_about(results)}\n",
        "| figure | value | 95 % interval by patient |",
        "|---|---|---|",
    ]
    for name, key in _FIGURES:
        value = _value(results, key)
        if value is not None:
            lines.append(f"| {name} | {value:.3f} | {_ends(intervals.get(key))} |")
    return "\n".join(lines)


def _about(results: dict[str, Any]) -> str:
    """Say whose data the figures are of, and of how many questions and patients."""
    counts = [
        f"{results[key]} {name}"
        for key, name in (("n_test", "test questions"), ("n_patients", "patients"))
        if results.get(key) is not None
    ]
    parts = [str(results["dataset"])] if results.get("dataset") else []
    text = ", ".join([*parts, *counts]) or "Data not named"
    is_simulated = results.get("simulated") or "simulated" in str(results.get("dataset", ""))
    if is_simulated:
        text += ". **Simulated ECGs: these figures say nothing about real patients**"
    return f"{text}."


def _value(results: dict[str, Any], key: str) -> float | None:
    """Return a figure, or the difference to a floor."""
    whole, _, floor = key.partition("_minus_")
    value = _number(results.get(whole))
    below = _number(results.get(f"{floor}_exact_match")) if floor else 0.0
    return None if value is None or below is None else value - below


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number else None


def _ends(interval: Any) -> str:
    """Return an interval's ends, or a dash where none was given."""
    ends = [_number(end) for end in interval] if isinstance(interval, list) else []
    low, high = ends if len(ends) == 2 else (None, None)
    return "-" if low is None or high is None else f"{low:.3f} to {high:.3f}"
