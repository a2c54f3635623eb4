"""Text tokenizers that lose or change letters are noticed."""

import logging
import re

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from toy_models import text_tokenizer
from transformers import PreTrainedTokenizerFast

from ecg_fairseq.data.questions.question_texts import (
    refuse_equal_candidates,
    say_long_answers,
    say_losses,
)
from ecg_fairseq.errors import ManifestError
from ecg_fairseq.networks.language_model.text_tokenizer import TextTokenizer
from ecg_fairseq.records.questions.question import Question


def letters(alphabet: str, normalizer=None) -> TextTokenizer:
    """A tokenizer that knows these letters only."""
    known = {letter: number for number, letter in enumerate(["<unk>", "</s>", *alphabet, "▁"])}
    backend = Tokenizer(models.BPE(vocab=known, merges=[], unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    if normalizer is not None:
        backend.normalizer = normalizer
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", eos_token="</s>", bos_token="</s>"
    )
    return TextTokenizer(fast, "letters")


ASCII = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("text", "texts", "sentence"),
    [
        (letters(ASCII), ["no", "größe", "größe", "größer"], "loses letters of 2 of 3.*'größe'"),
        (
            letters(ASCII + "é", normalizers.NFC()),
            ["cafe\u0301", "no"],
            "changes 1 of 2 distinct answers",
        ),
        (letters(ASCII, normalizers.Lowercase()), ["LBBB"], "changes 1 of 1.*'LBBB' becomes 'lbbb"),
    ],
)
def test_losses_are_said_once_with_an_example(text, texts, sentence, caplog):
    with caplog.at_level(logging.WARNING):
        say_losses(text, ["no"], texts)
    (record,) = caplog.records
    assert re.search(sentence, record.getMessage())


@pytest.mark.parametrize("text", [letters(ASCII), text_tokenizer()])
def test_nothing_is_said_of_texts_that_come_back(text, caplog):
    with caplog.at_level(logging.WARNING):
        say_losses(text, ["which  rhythm "], ["no", "sinus rhythm"])
    assert not caplog.records


def test_bytes_write_every_text():
    text = text_tokenizer()
    for given in ("größe", "cafe\u0301", "µV → Ω", "心電図"):
        assert text.decode(text.encode(given)) == given
    assert text.loss_in_words(["größe"], "questions") == ""


def test_two_answers_of_the_same_tokens_are_refused():
    text = letters(ASCII)
    question = Question("q7", "which?", ["Ω"], "single-choose", ["r1"], ["p1"], options=["Ω", "µ"])
    options = ["Ω", "µ", "none"]
    ids = [tuple(text.encode(option)) for option in options]
    with pytest.raises(ManifestError, match=r"'q7'.*'Ω' and 'µ' with the same tokens"):
        refuse_equal_candidates(question, options, ids)
    refuse_equal_candidates(question, ["yes", "yes"], [(5,), (5,)])


def test_references_longer_than_an_answer_may_get_are_counted(caplog):
    with caplog.at_level(logging.WARNING):
        say_long_answers([3, 64], 64)
        assert not caplog.records
        say_long_answers([3, 65, 90], 64)
    (record,) = caplog.records
    assert "2 of 3 reference answers have more than 64 tokens (up to 90)" in record.getMessage()
