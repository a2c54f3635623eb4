"""The tokenizer of a corpus is the one that its library trains on every single text."""

import json
import random
from collections import Counter

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ecg_fairseq.networks.language_model.text_tokenizer import train_text_tokenizer

SPECIAL = ["<unk>", "<s>", "</s>"]


def trained_on_texts(texts: list[str], vocab_size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return tokenizer


@pytest.mark.parametrize("seed", range(12))
def test_counted_texts_give_what_single_texts_give(seed):
    draw = random.Random(seed)
    # Few letters: long runs, and tokens that come about in several ways.
    letters = "ab" if seed % 3 == 0 else "abcde aé \n\t's日.12<s>"
    wordings = ["".join(draw.choices(letters, k=draw.randint(0, 30))) for _ in range(40)]
    texts = draw.choices(wordings, k=5000)
    wanted = trained_on_texts(texts, 262 + 30 * seed)
    for given in (texts, Counter(texts)):
        found = train_text_tokenizer(given, 262 + 30 * seed).tokenizer.backend_tokenizer
        ours, theirs = json.loads(found.to_str()), json.loads(wanted.to_str())
        assert ours["model"] == theirs["model"]
        assert ours["pre_tokenizer"] == theirs["pre_tokenizer"]
