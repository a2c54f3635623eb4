"""What an exported model's card says of its results."""

from ecg_fairseq.networks.language_model.model_card import _result_table

RESULTS = {
    "dataset": "simulated cohort",
    "n_test": 1500,
    "n_patients": 180,
    "exact_match": 0.761,
    "majority_exact_match": 0.429,
    "blind_exact_match": 0.42,
    "intervals": {"exact_match": [0.74, 0.78], "exact_match_minus_blind": [0.31, 0.37]},
}


def test_simulated_results_are_called_so_with_numbers_intervals_and_floors():
    text = _result_table(RESULTS)
    assert text.startswith("simulated cohort, 1500 test questions, 180 patients. **Simulated ECGs")
    assert "| exact match | 0.761 | 0.740 to 0.780 |" in text
    assert "| floor: majority answer per template | 0.429 | - |" in text
    assert "| floor: another patient's ECG | 0.420 | - |" in text
    assert "| exact match above the blind floor | 0.341 | 0.310 to 0.370 |" in text
    assert "| exact match above the majority floor | 0.332 | - |" in text
    assert "wording" not in text


def test_a_simulated_set_under_a_datasets_name_is_called_so():
    assert "Simulated ECGs" in _result_table({**RESULTS, "dataset": "ptb_xl", "simulated": True})
    assert "Simulated ECGs" not in _result_table({**RESULTS, "dataset": "ptb_xl"})


def test_what_is_no_figure_is_left_out():
    odd = {"exact_match": "0.7", "blind_exact_match": None, "intervals": [1], "n_test": None}
    assert _result_table(odd).splitlines()[-1] == "|---|---|---|"
    assert _result_table(None) == "No scored run was given at export."
