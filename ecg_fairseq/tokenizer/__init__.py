"""ECG tokens: signals to token ids and back.

``EcgTokens`` is what other rooms ask of tokens of any kind, ``open_tokens`` opens their files.
``EcgTokenizer`` (ECG-BPE) is one kind, ``FsqTokens`` (HeartLLM) another; ``rust_bpe`` (module
``ecg_bpe``) is the fast core of the former, ``twin`` the readable one.
"""

from ecg_fairseq.tokenizer.ecg_tokens import EcgTokens, open_tokens
from ecg_fairseq.tokenizer.fsq.tokens import FsqTokens
from ecg_fairseq.tokenizer.quantizer import Quantizer
from ecg_fairseq.tokenizer.tokenizer import EcgTokenizer

__all__ = ["EcgTokenizer", "EcgTokens", "FsqTokens", "Quantizer", "open_tokens"]
