"""Open a manifest with a task and take the first training batch.

usage: python scripts/scale/first_batch.py TASK MANIFEST
"""

import sys
from typing import Any

_BATCH_SIZE = 8


def first_batch(name: str, folder: str) -> dict[str, Any]:
    """Return the batch of a task with its default settings."""
    from fairseq.dataclass.configs import (
        CheckpointConfig,
        CommonConfig,
        CommonEvalConfig,
        DatasetConfig,
    )
    from fairseq.tasks import TASK_DATACLASS_REGISTRY, TASK_REGISTRY
    from omegaconf import OmegaConf

    from ecg_fairseq import compat

    compat.register()
    root = OmegaConf.create(
        {
            "task": OmegaConf.structured(TASK_DATACLASS_REGISTRY[name]),
            "common": OmegaConf.structured(CommonConfig),
            "criterion": {"_name": "wav2vec2"},
            "checkpoint": OmegaConf.structured(CheckpointConfig),
            "dataset": OmegaConf.structured(DatasetConfig),
            "common_eval": OmegaConf.structured(CommonEvalConfig),
        }
    )
    root.task.data = folder
    task = TASK_REGISTRY[name].setup_task(root.task)
    task.load_dataset("train", epoch=1)
    batches = task.get_batch_iterator(
        task.dataset("train"), max_sentences=_BATCH_SIZE, max_positions=task.max_positions(), seed=1
    )
    return next(batches.next_epoch_itr(shuffle=True))


def main(argv: list[str] | None = None) -> int:
    """Print how many sequences or segments the batch has."""
    name, folder = sys.argv[1:] if argv is None else argv
    print(first_batch(name, folder)["nsentences"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
