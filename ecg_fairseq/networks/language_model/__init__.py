"""Causal language models that read ECGs and answer questions about them.

ECG-Byte, HeartLLM and two-stage systems are layouts of it (``layouts/NAME.yaml``): the ECG stands
in a sequence as rows of ECG tokens or as feature vectors. Sources: fact sheets ecg-byte.md sections
3, 4.3 and 8 (arXiv 2412.14373) and heartllm.md section 4 (arXiv 2508.15338). Train through the
fairseq task ``ecg_qa`` and model ``ecg_llm``; this folder also loads, runs and exports trained
systems without fairseq.
"""
