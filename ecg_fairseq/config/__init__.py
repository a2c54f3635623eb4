"""Training configs for ``fairseq-hydra-train --config-name NAME``, flat, one YAML a run.

A package, so that hydra's search path can name it.
"""
