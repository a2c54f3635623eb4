"""Export to a ``tokenizer.json`` that Hugging Face ``tokenizers`` loads, with equal ids.

``bpe``: their BPE model with our merges. ``greedy``: a BPE model without merges for the 256 bytes
and every merge as an added token, which that library matches leftmost-longest by an automaton: the
same rule as ours, in linear time (its WordPiece is cubic in the word's length).
"""

from pathlib import Path
from typing import Any

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.files import write_json
from ecg_fairseq.tokenizer.core import MODES
from ecg_fairseq.tokenizer.merges import NUM_BASE_IDS
from ecg_fairseq.tokenizer.tokenizer import EcgTokenizer

_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": False,
    "use_regex": False,
}


def export_huggingface(tokenizer: EcgTokenizer, mode: str, folder: Path | str) -> Path:
    """Write ``tokenizer.json`` into ``folder`` and return its path.

    Raises:
        TokenizerError: an unknown mode, or tokens that the format cannot express.
    """
    if mode not in MODES:
        raise TokenizerError(f"mode must be one of {MODES}, got {mode!r}")
    path = Path(folder) / "tokenizer.json"
    write_json(path, huggingface_form(tokenizer, mode))
    return path


def huggingface_form(tokenizer: EcgTokenizer, mode: str) -> dict[str, Any]:
    """Return the JSON object of the export."""
    words = tokenizer.expansions()
    if len(set(words)) != len(words):
        raise TokenizerError(
            "two merges of this tokenizer spell the same bytes, which Hugging Face's format cannot "
            "express; export a tokenizer trained here or by ECG-Byte"
        )
    names = byte_names()
    spelled = ["".join(names[byte] for byte in word) for word in words]
    num_words = NUM_BASE_IDS if mode == "greedy" else len(words)
    merges = [] if mode == "greedy" else tokenizer.merges.tolist()
    added = _added_tokens(words[NUM_BASE_IDS:]) if mode == "greedy" else []
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": _BYTE_LEVEL,
        "post_processor": None,
        "decoder": _BYTE_LEVEL,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {spelled[i]: i for i in range(num_words)},
            "merges": [[spelled[left], spelled[right]] for left, right in merges],
        },
    }


def byte_names() -> list[str]:
    """Return the printable character that stands for each byte in byte-level tokenizers.

    Visible characters of Latin-1 stand for themselves, the others for those from U+0100 on.
    """
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    names = {byte: chr(byte) for byte in visible}
    names |= {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    return [names[byte] for byte in range(256)]


def _added_tokens(words: list[bytes]) -> list[dict[str, Any]]:
    tokens = []
    for k, word in enumerate(words):
        try:
            content = word.decode("utf-8")
        except UnicodeDecodeError as error:
            raise TokenizerError(
                f"merge {k} cuts a non-ASCII character; Hugging Face's added tokens are text: "
                "export with --mode bpe, or train on ASCII"
            ) from error
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
        tokens.append({"id": NUM_BASE_IDS + k, "content": content, **flags})
    return tokens
