"""What `scripts/bench.py STAGE` runs: stage ``bpe-train`` is the module ``bpe_train`` beside this.

A module has ``add_arguments(parser)`` and ``run(arguments) -> dict`` (JSON values only); see
``timing.py`` for the interleaved repeats that every stage uses.
"""

STAGES = (
    "bpe-train",
    "bpe-encode",
    "wfdb-read",
    "recipe",
    "fsq-encode",
    "loader",
    "train-step",
    "generate",
)
