"""One id space for text and ECG tokens; text stays text; closed sets of answers."""

import numpy as np
import pytest
from toy_models import ECG_IDS, TEXTS, save_named_base, text_tokenizer, vocabulary_of

from ecg_fairseq.errors import CheckpointError, EcgError, TokenizerError
from ecg_fairseq.networks.language_model.text_tokenizer import (
    load_text_tokenizer,
    text_tokenizer_from_state,
    train_text_tokenizer,
)
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary
from ecg_fairseq.records.questions.question import Question, candidate_answers


@pytest.fixture(scope="module")
def text():
    return text_tokenizer()


def test_id_arithmetic_of_the_published_size():
    """Llama-3.2 and 3,500 merges; published rows held 230 dead letters more, so ours end lower."""
    ids = (*ECG_IDS, *range(256, 256 + 3500))
    vocabulary = EcgVocabulary(128_256, ids, 128_000, 128_001)
    assert vocabulary.rows_of(np.array([97, 122, 256, 3755])).tolist() == [
        128_256,
        128_281,
        128_282,
        131_781,
    ]
    assert vocabulary.sig_start_id == 132_012 - 230
    assert (vocabulary.sig_end_id, vocabulary.pad_id) == (132_013 - 230, 132_014 - 230)
    assert vocabulary.size == 132_015 - 230
    assert vocabulary.new_names()[:2] == ["signal_97", "signal_98"]
    assert vocabulary.new_names()[-3:] == ["<sig_start>", "<sig_end>", "<pad>"]
    assert len(vocabulary.new_names()) == vocabulary.num_new_rows


@pytest.mark.parametrize("unknown", [0, 96, 123, 256, 9_999])
def test_an_ecg_token_without_row_is_refused(text, unknown):
    with pytest.raises(TokenizerError, match=f"{unknown}.*tokenizer that the model was trained"):
        vocabulary_of(text).rows_of(np.array([97, unknown], dtype=np.uint32))


def test_fingerprint_depends_on_both_tokenizers_and_the_rows(text):
    vocabulary = vocabulary_of(text)
    prints = {
        vocabulary.fingerprint("a", "b"),
        vocabulary.fingerprint("a", "c"),
        vocabulary.fingerprint("c", "b"),
        vocabulary_of(text, ECG_IDS[1:]).fingerprint("a", "b"),
    }
    assert len(prints) == 4
    assert {len(value) for value in prints} == {32}


@pytest.mark.parametrize("literal", ["<sig_start>", "signal_97", "</s>", "<s>", "<pad>", "<unk>"])
def test_names_of_special_tokens_stay_plain_text(text, literal):
    question = f"Does {literal} matter?"
    for ids in (text.encode(question), text.encode_many([question, "x"])[0]):
        assert not {text.bos_id, text.eos_id, text.tokenizer.unk_token_id} & set(ids)
        assert max(ids) < text.num_rows
        assert text.decode(ids) == question


def test_any_text_can_be_written_and_read_back(text):
    for sentence in ("Größe 5 µV – ST↑?", "日本語 ECG", "  two   spaces\n"):
        assert text.decode(text.encode(sentence)) == " ".join(sentence.split())


def test_a_corpus_tokenizer_depends_on_the_multiset_of_texts_only():
    first = train_text_tokenizer(TEXTS, 300)
    again = train_text_tokenizer(reversed(TEXTS), 300)
    assert first.sha256() == again.sha256()
    assert first.sha256() != train_text_tokenizer((*TEXTS, "a flat flat line"), 300).sha256()


def test_a_corpus_tokenizer_travels_whole(text):
    copy = text_tokenizer_from_state(text.state())
    assert copy.sha256() == text.sha256()
    assert copy.encode("a tall pulse?") == text.encode("a tall pulse?")
    assert (copy.bos_id, copy.eos_id, copy.num_rows) == (text.bos_id, text.eos_id, text.num_rows)


def test_hash_does_not_change_with_use(tmp_path):
    """Many published files carry truncation settings, which the first encoding clears."""
    text = text_tokenizer()
    text.tokenizer.backend_tokenizer.enable_truncation(4)
    text.tokenizer.save_pretrained(tmp_path)
    named = load_text_tokenizer(str(tmp_path))
    before = named.sha256()
    sentence = "a sentence of more than four tokens"
    assert named.decode(named.encode(sentence)) == sentence
    assert named.sha256() == before == load_text_tokenizer(str(tmp_path)).sha256()


def test_a_named_tokenizer_is_checked_by_hash(tmp_path):
    named = load_text_tokenizer(save_named_base(tmp_path, extra_rows=8))
    assert named.num_rows == named.size + 8
    state = named.state()
    assert "json" not in state
    assert text_tokenizer_from_state(state).sha256() == named.sha256()
    train_text_tokenizer(["another corpus"], 290).tokenizer.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="is not the one of this checkpoint"):
        text_tokenizer_from_state(state)


def test_an_unknown_hub_name_is_one_clear_sentence_offline():
    with pytest.raises(EcgError, match=r"no-such/model.*local folder.*corpus"):
        load_text_tokenizer("no-such/model")


def _question(kind: str, options: list[str] | None) -> Question:
    return Question("q", "Which?", ["none"], kind, ["r"], ["p"], options=options)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("single-verify", ["yes", "no"], ["yes", "no"]),
        ("comparison_consecutive-verify", ["yes", "no", "not sure"], ["yes", "no", "not sure"]),
        ("single-choose", ["b", "a"], ["b", "a", "a; b", "none"]),
        ("single-choose", ["b", "a", "none"], ["b", "a", "a; b", "none"]),
        ("single-choose", ["a"], ["a", "none"]),
        ("single-query", ["a", "b"], []),
        ("single-verify", None, []),
        ("own", ["a"], []),
    ],
)
def test_closed_sets(kind, options, expected):
    assert candidate_answers(_question(kind, options)) == expected
