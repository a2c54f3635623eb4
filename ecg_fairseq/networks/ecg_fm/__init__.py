"""ECG-FM: wav2vec 2.0 + CMSC + random lead masking for 12-lead ECGs, in plain torch.

Source: fact sheet ecg-fm.md (arXiv 2408.05178 and 2203.06889). Modules and parameters have
fairseq-signals' names, so its checkpoints fit; :mod:`convert` reads and writes them. The fairseq
models and criterions that train these networks are in ``ecg_fairseq/models`` and ``criterions``.
"""
