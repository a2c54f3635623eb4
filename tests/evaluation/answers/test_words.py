"""Words of any script: what ROUGE counts, and what exact match and options know of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecg_fairseq.evaluation.answers.exact_match import is_exact_match, options_in_text
from ecg_fairseq.evaluation.answers.text_metrics import mean_rouge
from ecg_fairseq.evaluation.answers.words import words_of


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=127)))
def test_english_words_are_those_of_rouge_score(text):
    tokenizers = pytest.importorskip("rouge_score.tokenizers")
    assert words_of(text) == tokenizers.DefaultTokenizer(use_stemmer=False).tokenize(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Синусовый ритм.", ["синусовый", "ритм"]),
        ("Φλεβοκομβικός ρυθμός", ["φλεβοκομβικός", "ρυθμός"]),
        ("窦性心律, 正常ECG", ["窦", "性", "心", "律", "正", "常", "ecg"]),
        ("洞調律て\u3099す", ["洞", "調", "律", "で", "す"]),
        ("정상 동율동", ["정상", "동율동"]),
        ("हृदय गति", ["हृदय", "गति"]),
        ("نظم جيبي", ["نظم", "جيبي"]),
        ("d'e\u0301tat normal", ["d", "état", "normal"]),
        ("\u0301 lone mark", ["lone", "mark"]),
        ("", []),
    ],
)
def test_words_of_other_scripts(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize("text", ["Синусовый ритм", "窦性心律不齐", "정상 동율동", "हृदय गति"])
def test_a_right_text_has_rouge_1_in_any_script(text):
    assert mean_rouge([text], [text])["rouge_1"] == 1.0
    assert mean_rouge([text], ["sinus rhythm"])["rouge_1"] == 0.0


def test_part_of_a_chinese_text_has_part_of_the_score():
    scores = mean_rouge(["窦性心动过速"], ["窦性心律"])
    # Three characters in common, in order, of six and of four.
    assert scores["rouge_1"] == pytest.approx(2 * (3 / 6) * (3 / 4) / (3 / 6 + 3 / 4))
    assert scores["rouge_l"] == pytest.approx(scores["rouge_1"])


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ("trouble pre\u0301coce", "trouble précoce"),
        ("TROUBLE PRÉCOCE", "trouble pre\u0301coce"),
        ("房颤；左束支阻滞", "左束支阻滞; 房颤"),
        ("房颤。", "房颤"),
        ("房颤．", "房颤"),
        ("\u3000房颤 ﹔\u3000左偏", "房颤; 左偏"),
    ],
)
def test_equal_whatever_the_form_of_letters_and_separators(answer, reference):
    assert is_exact_match(answer, reference)


def test_full_width_letters_and_powers_are_no_other_letters():
    assert not is_exact_match("10²", "102")
    assert not is_exact_match("房颤、左偏", "房颤; 左偏")


def test_options_are_found_in_text_without_spaces():
    options = ["房颤", "房扑", "左束支阻滞"]
    assert options_in_text("心电图显示房颤和左束支阻滞。", options) == {"房颤", "左束支阻滞"}
    assert options_in_text("shows AF.", ["af", "a"]) == {"af"}
    assert options_in_text("it is e\u0301leve\u0301", ["élevé"]) == {"élevé"}
