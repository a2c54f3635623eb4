"""Names that the guides of release 0.1 imported still lead to what they named, with a warning."""

import subprocess
import sys

import pytest

from ecg_fairseq.moved_modules import MOVED, PACKAGES, install

# The public names of each old module; of networks those that the guides used.
OLD_NAMES = {
    "records.manifest": "FORMAT VERSION SPLITS Manifest read_meta",
    "records.read": "FORMATS Reader read_record split_waveform read_npy open_array parse_leads",
    "networks.ecg_byte.answering": "DecodingOptions generate_answers answer_lengths "
    "pack_candidates score_candidates",
    "networks.ecg_byte.candidates": "candidate_answers",
    "networks.ecg_byte.config": "LanguageModelConfig",
    "networks.ecg_byte.language_model": "EcgLanguageModel set_attention_dropout",
    "networks.ecg_byte.prompt": "PackedSequence build_prefix pad_packed pad_left",
    "networks.ecg_byte.text_tokenizer": "TextTokenizer load_text_tokenizer train_text_tokenizer",
    "networks.ecg_byte.trained_system": "TrainedSystem Answer",
    "networks.ecg_byte.vocabulary": "EcgVocabulary",
    "networks.ecg_byte.export": "",
    "networks.ecg_byte.model_card": "",
    "networks.ecg_byte.presets": "",
    "networks.ecg_fm.aggregation": "aggregate",
    "networks.ecg_fm.record_saliency": "METHODS record_saliency for_display",
    "networks.ecg_fm.trained_encoder": "load_trained_encoder random_encoder",
    "evaluation.blind": "Patients blind_partners",
    "evaluation.cinc_score": "NORMAL_CODE CincWeights read_weights "
    "score_sums normalised_score merged_classes cinc_score",
    "evaluation.floors": "exact_match_hits majority_answers majority_hits closed_set_hits",
    "evaluation.generate_log": "GeneratedItem read_generate_log predictions_from_log",
    "evaluation.label_scores": "LabelScores label_scores",
    "evaluation.label_table": "DEFAULT_RESAMPLES LEVEL LabelRow "
    "LabelTable label_table difference_table",
    "evaluation.linear_probe": "DEFAULT_FRACTIONS DEFAULT_SEEDS STRENGTHS ProbeData "
    "ProbeResult probe probe_fractions stacked_scores drawn_patients",
    "evaluation.normalise": "normalise_text answer_set is_exact_match options_in_text",
    "evaluation.predictions": "Candidate Prediction write_predictions read_predictions",
    "evaluation.probe_table": "ProbeComparison compare_probes comparison_markdown",
    "evaluation.recordings": "PUBLISHED_MAX_LABELS Recordings",
    "evaluation.scores": "FEW_QUESTIONS FEW_PATIENTS Interval score_predictions warnings_for",
    "evaluation.text_metrics": "corpus_bleu mean_rouge mean_meteor mean_bert_score text_scores",
}
CHECK = """
import importlib, sys, warnings
from ecg_fairseq.moved_modules import MOVED, PACKAGES, RENAMED

for line in sys.stdin.read().splitlines():
    old, *names = line.split()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = importlib.import_module(old)
        found = {name: getattr(module, name) for name in names}
        assert module is importlib.import_module(old)
    assert caught, old
    places = {MOVED[old], *(RENAMED.get(f"{old}.{name}", (MOVED[old],))[0] for name in names)}
    for warning in caught:
        assert warning.category is DeprecationWarning, warning
        message = str(warning.message)
        assert old in message and any(place in message for place in places), message
    assert len(caught) == (len(names) if old in PACKAGES else 1), (old, len(caught))
    for name, value in found.items():
        place, new_name = RENAMED.get(f"{old}.{name}", (MOVED[old], name))
        assert value is getattr(importlib.import_module(place), new_name), (old, name)
    try:
        module.no_such_name
    except AttributeError:
        continue
    raise AssertionError(f"{old} has every name")
print("ok")
"""


def run(code: str, text: str = "") -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, text=True, check=False
    )


def test_every_moved_module_is_checked_below():
    assert {name.removeprefix("ecg_fairseq.") for name in MOVED} == set(OLD_NAMES)
    for old, names in PACKAGES.items():
        assert set(OLD_NAMES[old.removeprefix("ecg_fairseq.")].split()) == set(names)


@pytest.mark.parametrize("room", ["records", "evaluation", "networks"])
def test_every_old_name_leads_to_its_new_place(room):
    lines = [f"ecg_fairseq.{old} {OLD_NAMES[old]}" for old in OLD_NAMES if old.startswith(room)]
    assert lines
    result = run(CHECK, "\n".join(lines))
    assert result.stdout == "ok\n", result.stderr


@pytest.mark.parametrize(
    ("line", "new_place"),
    [
        ("from ecg_fairseq.records.read import read_record", "readers.any_format"),
        ("import ecg_fairseq.records.read", "readers.any_format"),
        ("from ecg_fairseq.records import read", "readers.any_format"),
        ("from ecg_fairseq.records.manifest import Manifest", "manifest.folder.Manifest"),
        ("from ecg_fairseq.evaluation.normalise import is_exact_match", "answers.exact_match"),
    ],
)
def test_a_users_script_shows_the_warning_once(tmp_path, line, new_place):
    """Python shows deprecations of the script itself only, so they must point at its line."""
    script = tmp_path / "script.py"
    script.write_text(f"{line}\n")
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("DeprecationWarning") == 1
    assert result.stderr.startswith(f"{script}:1: DeprecationWarning: ecg_fairseq.")
    assert new_place in result.stderr


def test_other_unknown_modules_stay_unknown():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        __import__("ecg_fairseq.records.no_such_module")
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from ecg_fairseq.records.manifest import no_such_name")


def test_installing_twice_changes_nothing():
    before = list(sys.meta_path)
    install()
    assert sys.meta_path == before
