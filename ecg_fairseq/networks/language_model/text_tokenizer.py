"""The text side of the vocabulary: a hub tokenizer, or a small one trained on the corpus.

Text is always encoded as plain text: a question that contains the letters of a special token stays
words, so nobody can write an end-of-sequence or a made-up ECG into a question.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import CheckpointError, EcgError, first_line
from ecg_fairseq.networks.language_model.counted_bpe import train_merges

_BOS, _EOS, _UNKNOWN = "<s>", "</s>", "<unk>"


class TextTokenizer:
    """Text to ids and back, without special tokens.

    Args:
        tokenizer: a transformers fast tokenizer.
        source: the folder or hub name it came from, or ``"corpus"``.
        num_rows: embedding rows of the language model that belongs to it; 0 where there is none.
            Some families pad their table beyond the tokenizer's size, and some tokenizers got
            special tokens (such as ``[PAD]``) for which the table has no rows: those are not used.

    Raises:
        EcgError: words, or the tokens around a sequence, have no row in the model's table.
    """

    def __init__(self, tokenizer: Any, source: str, num_rows: int = 0) -> None:
        # Some tokenizer files carry limits for batches; a limit would cut questions, and it is part
        # of the text that sha256 hashes until the first encoding clears it.
        tokenizer.backend_tokenizer.no_truncation()
        tokenizer.backend_tokenizer.no_padding()
        self.tokenizer = tokenizer
        self.source = source
        self.num_rows = num_rows or self.size
        self._refuse_words_without_rows()

    @property
    def size(self) -> int:
        """Number of ids, special and added tokens of the text tokenizer included."""
        return len(self.tokenizer)

    @property
    def bos_id(self) -> int | None:
        """Id that starts a sequence, or None where the family has none."""
        return self.tokenizer.bos_token_id

    @property
    def eos_id(self) -> int:
        """Id that ends an answer."""
        return self.tokenizer.eos_token_id

    def encode(self, text: str) -> list[int]:
        """Return the ids of ``text`` as plain text (never a special id)."""
        return self.tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)

    def encode_special(self, text: str) -> list[int]:
        """Return the ids of a layout's fixed text, in which special tokens count as such.

        Raises:
            EcgError: one of them has no row in the model's table.
        """
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        if ids and max(ids) >= self.num_rows:
            name = self.tokenizer.convert_ids_to_tokens(max(ids))
            raise EcgError(
                f"the prompt layout writes {name!r}, which the text tokenizer {self.source!r} "
                f"knows but for which the model has no row ({self.num_rows} rows); choose another "
                "task.prompt_layout, or give the model rows for it"
            )
        return ids

    def token_id(self, token: str) -> int | None:
        """Return the id of a token by its name, or None where there is none."""
        found = self.tokenizer.get_vocab().get(token)
        return found if found is not None and found < self.num_rows else None

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text; each distinct text is tokenised once."""
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return []
        ids = self.tokenizer(distinct, add_special_tokens=False, split_special_tokens=True)
        table = dict(zip(distinct, ids["input_ids"], strict=True))
        return [table[text] for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ``ids`` in one line, special tokens left out."""
        text = self.tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return " ".join(text.split())

    def misread(self, texts: Iterable[str]) -> list[tuple[str, str]]:
        """Return the distinct texts that do not come back as they were, each with what does.

        Blanks do not count: answers are one line of words.
        """
        if self.source == "corpus":
            return []  # bytes are its alphabet
        distinct = [" ".join(text.split()) for text in dict.fromkeys(texts)]
        back = [self.decode(ids) for ids in self.encode_many(distinct)]
        return [pair for pair in zip(distinct, back, strict=True) if pair[0] != pair[1]]

    def loss_in_words(self, texts: Sequence[str], what: str) -> str:
        """Say which texts this tokenizer cannot write; empty where it can write all.

        Args:
            texts: questions, answers, ...
            what: what they are.
        """
        wrong = self.misread(texts)
        if not wrong:
            return ""
        unknown = self.tokenizer.unk_token_id
        lost = [pair for pair in wrong if unknown in self.encode(pair[0])]
        text, back = (lost or wrong)[0]
        how = "loses letters of" if lost else "changes"
        return (
            f"the text tokenizer {self.source!r} {how} {len(lost or wrong)} of "
            f"{len(set(texts))} distinct {what}: {text!r} becomes {back!r}, so such words can "
            "neither be told apart nor answered; write them in letters that it knows, or choose a "
            "tokenizer that writes every text (byte-level, such as GPT-2's; or "
            "task.text_tokenizer=corpus)"
        )

    def _refuse_words_without_rows(self) -> None:
        """Refuse a tokenizer that could write ids beyond the model's table; EcgError."""
        if self.size <= self.num_rows:
            return
        added = self.tokenizer.added_tokens_decoder
        names = {row: token for token, row in self.tokenizer.get_vocab().items()}
        words = [
            names[row]
            for row in sorted(names)
            if row >= self.num_rows
            and (row not in added or not added[row].special or row in (self.bos_id, self.eos_id))
        ]
        if words:
            raise EcgError(
                f"text tokenizer {self.source!r} has {self.size} tokens but the model beside it "
                f"only {self.num_rows} rows, so {len(words)} tokens could not be read "
                f"({', '.join(words[:3])}); give the model rows for them "
                "(resize_token_embeddings) and save it, or take the tokenizer it was made with"
            )

    def sha256(self) -> str:
        """Hash of the vocabulary and merge rules."""
        return hashlib.sha256(self.tokenizer.backend_tokenizer.to_str().encode()).hexdigest()

    def state(self) -> dict[str, str]:
        """Return what a checkpoint must hold: a trained tokenizer whole, a named one by hash."""
        state = {"source": self.source, "sha256": self.sha256()}
        if self.source == "corpus":
            state["json"] = self.tokenizer.backend_tokenizer.to_str()
        return state


def text_tokenizer_from_state(state: dict[str, str]) -> TextTokenizer:
    """Rebuild the text tokenizer of a checkpoint.

    Raises:
        CheckpointError: the named tokenizer is not the one that was trained with.
    """
    if state["source"] == "corpus":
        from tokenizers import Tokenizer

        return _wrap(Tokenizer.from_str(state["json"]))
    text_tokenizer = load_text_tokenizer(state["source"])
    if text_tokenizer.sha256() != state["sha256"]:
        raise CheckpointError(
            f"the text tokenizer at {state['source']!r} is not the one of this checkpoint (hash "
            f"{text_tokenizer.sha256()[:12]}, expected {state['sha256'][:12]}); use the same "
            "revision of the model"
        )
    return text_tokenizer


def load_text_tokenizer(name: str) -> TextTokenizer:
    """Load a fast tokenizer from a local folder or the hub.

    Raises:
        EcgError: it cannot be found, or has no end-of-sequence token.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except Exception as cause:
        # Damaged files raise a dozen unrelated classes there, some from compiled code.
        raise EcgError(
            f"text tokenizer {name!r} cannot be loaded ({first_line(cause)}): it is neither a "
            "local folder with a tokenizer nor a hub name that can be reached from here; give a "
            "local path, log in to the hub for gated models, or use task.text_tokenizer=corpus"
        ) from cause
    if getattr(tokenizer, "backend_tokenizer", None) is None or tokenizer.eos_token_id is None:
        raise EcgError(f"text tokenizer {name!r} must be a fast tokenizer with an end token")
    return TextTokenizer(tokenizer, name, _rows_of_model(name))


def _rows_of_model(name: str) -> int:
    """Embedding rows of the model beside a tokenizer; 0 where there is only a tokenizer."""
    from transformers import AutoConfig

    try:
        shape = AutoConfig.from_pretrained(name, trust_remote_code=False)
        return int(getattr(shape.get_text_config(), "vocab_size", 0))
    except Exception as cause:
        settings = Path(name) / "config.json"
        if settings.is_file():
            raise EcgError(
                f"{settings} beside the text tokenizer cannot be read ({first_line(cause)}): copy "
                "the model again, or give a folder with the tokenizer alone"
            ) from cause
        return 0


def train_text_tokenizer(
    texts: Iterable[str] | Mapping[str, int], vocab_size: int
) -> TextTokenizer:
    """Train a byte-level BPE on the corpus's questions and answers.

    Every text can be written in it (bytes are the alphabet). The result depends on the multiset of
    texts only.

    Args:
        texts: questions and answers of the training split, or text -> how often it occurs.
        vocab_size: most ids it may have, three special ones included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=True)
    words: Counter[str] = Counter()
    for text, count in sorted(Counter(texts).items()):
        for word, _ in byte_level.pre_tokenize_str(text):
            words[word] += count
    special = (_UNKNOWN, _BOS, _EOS)
    vocabulary, merges = train_merges(words, special, byte_level.alphabet(), vocab_size)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token=None))
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    return _wrap(tokenizer)


def _wrap(tokenizer: Any) -> TextTokenizer:
    """Put a trained backend into transformers' interface."""
    from transformers import PreTrainedTokenizerFast

    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=_UNKNOWN, bos_token=_BOS, eos_token=_EOS
    )
    return TextTokenizer(fast, "corpus")
