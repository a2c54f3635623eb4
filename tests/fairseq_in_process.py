"""fairseq's own main functions inside the test process: their start-up is paid once.

What a user types is tested in processes of its own (``fairseq_runs``); here are the small runs.
"""

import sys
from pathlib import Path
from typing import Any

from ecg_fairseq import compat

PACKAGE = Path(compat.__file__).resolve().parents[1]
SMALL = (
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.num_heads=2",
    "model.num_key_value_heads=2",
    "model.intermediate_size=64",
)
TWO_UPDATES = (
    "optimization.max_update=2",
    "dataset.batch_size=4",
    "dataset.batch_size_valid=4",
    "dataset.num_workers=0",
    "dataset.validate_interval_updates=2",
    "checkpoint.save_interval_updates=2",
    "distributed_training.distributed_world_size=1",
)


def compose(name: str, *overrides: str) -> Any:
    """Compose a shipped YAML exactly as ``fairseq-hydra-train --config-name NAME`` does."""
    from fairseq.dataclass.initialize import add_defaults, hydra_init
    from fairseq.dataclass.utils import omegaconf_no_object_check
    from hydra import compose as hydra_compose
    from hydra import initialize_config_module
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    compat.register()
    GlobalHydra.instance().clear()
    hydra_init(name)
    # Like the console script, start from fairseq's folder: ours is found through the plugin.
    with initialize_config_module("fairseq.config", version_base="1.1"):
        cfg = hydra_compose(name, overrides=list(overrides))
    add_defaults(cfg)
    with omegaconf_no_object_check():
        cfg = OmegaConf.create(OmegaConf.to_container(cfg, resolve=True, enum_to_str=True))
    OmegaConf.set_struct(cfg, True)
    return cfg


def setup_task(manifest_dir: Path, *overrides: str, name: str = "ecg_byte_qa_tiny") -> Any:
    """Build the task over a manifest."""
    from fairseq import tasks

    return tasks.setup_task(compose(name, f"task.data={manifest_dir}", *overrides).task)


def train(
    manifest_dir: Path, folder: Path, *overrides: str, name: str = "ecg_byte_qa_tiny"
) -> Path:
    """Train two small updates; return the last checkpoint."""
    from fairseq import checkpoint_utils, metrics
    from fairseq_cli.train import main

    metrics.reset()
    # fairseq keeps the best figure of a run in the process, where the next run would find it.
    vars(checkpoint_utils.save_checkpoint).pop("best", None)
    cfg = compose(
        name,
        f"task.data={manifest_dir}",
        f"checkpoint.save_dir={folder}",
        *TWO_UPDATES,
        *overrides,
    )
    main(cfg)
    return folder / "checkpoint_last.pt"


def generate(manifest_dir: Path, checkpoint: Path, out: Path, *options: str) -> str:
    """Run ``fairseq-generate`` on the test split; return the text it wrote."""
    from fairseq_cli.generate import cli_main

    compat.register()
    before = sys.argv
    sys.argv = ["fairseq-generate", str(manifest_dir), "--user-dir", str(PACKAGE)]
    sys.argv += ["--task", "ecg_qa", "--path", str(checkpoint), "--gen-subset", "test"]
    sys.argv += ["--results-path", str(out), "--max-new-tokens", "4", *options]
    try:
        cli_main()
    finally:
        sys.argv = before
    return (out / "generate-test.txt").read_text(encoding="utf-8")


def lines_of(text: str, kind: str) -> dict[int, list[list[str]]]:
    """Return question number -> cells of its H-, T- or S- lines, in written order."""
    found: dict[int, list[list[str]]] = {}
    for line in text.splitlines():
        head, *cells = line.split("\t")
        if head.startswith(f"{kind}-") and head[2:].isdigit():
            found.setdefault(int(head[2:]), []).append(cells)
    return found


def validate(task: str, manifest_dir: Path, checkpoint: Path, *options: str) -> dict[str, str]:
    """Run ``fairseq-validate`` on the test split; return what it logs, names to texts."""
    from fairseq import metrics
    from fairseq.logging import progress_bar
    from fairseq_cli.validate import cli_main

    compat.register()
    metrics.reset()
    logged: list[dict[str, str]] = []
    before, print_line = sys.argv, progress_bar.SimpleProgressBar.print

    def keep(self: Any, stats: Any, tag: Any = None, step: Any = None) -> None:
        logged.append(dict(self._format_stats(stats)))

    sys.argv = ["fairseq-validate", str(manifest_dir), "--user-dir", str(PACKAGE)]
    sys.argv += ["--task", task, "--path", str(checkpoint), "--valid-subset", "test"]
    sys.argv += ["--batch-size", "4", "--no-progress-bar", "--log-format", "simple", *options]
    progress_bar.SimpleProgressBar.print = keep
    try:
        cli_main()
    finally:
        sys.argv, progress_bar.SimpleProgressBar.print = before, print_line
    return logged[-1]
