"""ECG-BPE tokenizer: quantised signals to token ids and back.

``EcgTokenizer`` and ``Quantiser`` are all that other rooms need; ``rust_bpe`` (module ``ecg_bpe``)
is the fast core, ``twin`` the readable one.
"""

from ecg_fairseq.tokenizer.quantizer import Quantizer
from ecg_fairseq.tokenizer.tokenizer import EcgTokenizer

__all__ = ["EcgTokenizer", "Quantizer"]
