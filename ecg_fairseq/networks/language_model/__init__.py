"""ECG-Byte: a causal language model that reads ECG-BPE tokens and answers questions.

Source: fact sheet ecg-byte.md sections 3 and 8 (arXiv 2412.14373). Train it through the fairseq
task ``ecg_qa`` and model ``ecg_llm``; this folder also loads, runs and exports trained systems
without fairseq.
"""
