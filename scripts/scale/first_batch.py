"""Open a manifest with a task, take the first training batch, and say what that took.

usage: python scripts/scale/first_batch.py TASK MANIFEST
"""

import json
import resource
import sys
import time

_BATCH_SIZE = 8


def first_batch(name: str, folder: str) -> dict:
    """Return the batch of a task with its default settings."""
    import torch
    from fairseq.dataclass.configs import CommonConfig
    from fairseq.tasks import TASK_DATACLASS_REGISTRY, TASK_REGISTRY
    from omegaconf import OmegaConf

    from ecg_fairseq import compat

    compat.register()
    root = OmegaConf.create(
        {
            "task": OmegaConf.structured(TASK_DATACLASS_REGISTRY[name]),
            "common": OmegaConf.structured(CommonConfig),
            "criterion": {"_name": "wav2vec2"},
            "checkpoint": {"save_dir": "checkpoints"},
        }
    )
    root.task.data = folder
    task = TASK_REGISTRY[name].setup_task(root.task)
    task.load_dataset("train", epoch=1)
    batches = task.get_batch_iterator(
        task.dataset("train"), max_sentences=_BATCH_SIZE, max_positions=task.max_positions(), seed=1
    )
    batch = next(batches.next_epoch_itr(shuffle=True))
    assert torch.is_tensor(batch["net_input"][next(iter(batch["net_input"]))])
    return batch


def main(argv: list[str] | None = None) -> int:
    """Print seconds (of the process, imports included) and the peak of resident memory."""
    name, folder = sys.argv[1:] if argv is None else argv
    start = time.perf_counter()
    batch = first_batch(name, folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "peak_mib": peak, "items": batch["nsentences"]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
