"""What the quickstart runs: the commands that a user would type, in order."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from steps.overrides import check_path, override

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import write_json

PROJECT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
RECIPE = "ecg_byte_beat"
CONFIG = "ecg_byte_qa_tiny"


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes:
        patients: of the simulated cohort.
        merges: of the ECG tokenizer.
        max_questions: questions to evaluate on, as ``manifests/ecg_qa.py --max-questions`` reads
        it. overrides: of the training config.
    """

    patients: int
    merges: int
    max_questions: str
    overrides: tuple[str, ...] = ()


FULL = Size(patients=1800, merges=500, max_questions="valid=600,test=1500")
SMOKE = Size(
    patients=40,
    merges=60,
    max_questions="valid=20,test=60",
    overrides=(
        "model.hidden_size=32",
        "model.num_layers=1",
        "model.intermediate_size=64",
        "optimization.max_update=6",
        "lr_scheduler.warmup_updates=2",
        "lr_scheduler.lr_period_updates=6",
        "dataset.batch_size=2",
        "dataset.validate_interval_updates=3",
        "checkpoint.save_interval_updates=3",
        "common.log_interval=1",
    ),
)


@dataclass(frozen=True)
class Stage:
    """One command.

    Attributes:
        name: key of its time in ``results.json`` and of its log.
        command: program and arguments.
        done: a file that stands once the stage is complete, or None to run it every time (commands
            that resume by themselves).
    """

    name: str
    command: tuple[str, ...]
    done: Path | None = None


@dataclass(frozen=True)
class Plan:
    """A quickstart's settings; ``out`` and the data folders are absolute."""

    out: Path
    seed: int
    is_smoke: bool
    ptb_xl: Path | None
    ecg_qa: Path | None

    @property
    def size(self) -> Size:
        """Full or smoke."""
        return SMOKE if self.is_smoke else FULL

    @property
    def records(self) -> Path:
        """Folder of the recordings, in PTB-XL's layout."""
        return self.ptb_xl or self.out / "cohort"

    @property
    def dataset(self) -> str:
        """What the report calls the data."""
        return "PTB-XL recordings" if self.ptb_xl else "simulated cohort"

    def stages(self) -> Iterator[Stage]:
        """Yield the commands in order."""
        if self.ptb_xl is None:
            yield self._simulate()
        yield self._manifest()
        tokenizer = self.out / "tokenizer.json"
        yield Stage(
            "tokenizer",
            _ecg_fairseq(
                *("tokenizer", "train", "--input", self.out / "manifest"),
                *("--num-merges", self.size.merges, "--out", tokenizer),
            ),
            tokenizer,
        )
        yield self._train()
        for name, flags in (("generate", ()), ("blind", ("--blind", "--skip-closed-set"))):
            yield self._generate(name, flags)
        yield Stage(
            "score",
            _ecg_fairseq(
                *("score", self.out / "answers/generate/generate-test.txt"),
                *(self.out / "manifest", "--out", self.out),
                *("--blind", self.out / "answers/blind/generate-test.txt"),
            ),
        )

    def _simulate(self) -> Stage:
        return Stage(
            "simulate",
            _ecg_fairseq(
                *("simulate", "--out", self.records, "--seed", self.seed),
                *("--patients", self.size.patients, "--question-types", "single"),
            ),
            self.records / "simulation.json",
        )

    def _manifest(self) -> Stage:
        """Questions of ECG-QA's layout, or built from PTB-XL's labels, or both."""
        script = "ecg_qa.py"
        if self.ptb_xl is None:
            source = (self.records / "ecg-qa", "--ptb-xl", self.records)
        elif self.ecg_qa is None:
            script, source = "ptb_xl.py", (self.ptb_xl, "--questions", "from-labels")
        else:
            # ECG-QA's test folds differ from PTB-XL's: its questions train where they may, and the
            # labels give questions for folds 9 and 10.
            source = (self.ecg_qa, "--ptb-xl", self.ptb_xl, "--split", "ptb-xl")
            source += ("--question-types", "all", "--label-questions")
        command = (sys.executable, PROJECT / "manifests" / script, *source)
        command += ("--out", self.out / "manifest", "--recipe", RECIPE, "--seed", self.seed)
        command += ("--workers", _num_cores(), "--max-questions", self.size.max_questions)
        return Stage("manifest", tuple(map(str, command)), self.out / "manifest/meta.json")

    def _train(self) -> Stage:
        command = (BIN / "fairseq-hydra-train", "--config-name", CONFIG)
        command += (override("task.data", self.out / "manifest"), f"common.seed={self.seed}")
        command += (override("checkpoint.save_dir", self.out / "checkpoints"),)
        command += self.size.overrides
        return Stage("train", tuple(map(str, command)))

    def _generate(self, name: str, flags: tuple[str, ...]) -> Stage:
        results = self.out / "answers" / name
        command = (BIN / "fairseq-generate", self.out / "manifest")
        command += ("--user-dir", PROJECT / "ecg_fairseq", "--task", "ecg_qa")
        command += ("--path", self.out / "checkpoints/checkpoint_best.pt", "--gen-subset", "test")
        command += ("--results-path", results, "--max-tokens", "16000", "--no-progress-bar")
        return Stage(name, tuple(map(str, command + flags)))


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Return the plan, and refuse a folder that another plan has begun.

    Raises:
        EcgError: a data folder is missing, or ``--out`` belongs to other settings.
    """
    for folder in filter(None, (arguments.ptb_xl, arguments.ecg_qa)):
        if not folder.is_dir():
            raise EcgError(f"folder not found: {folder}; give the folder of the unpacked dataset")
    plan = Plan(
        arguments.out.resolve(),
        arguments.seed,
        arguments.smoke,
        arguments.ptb_xl and arguments.ptb_xl.resolve(),
        arguments.ecg_qa and arguments.ecg_qa.resolve(),
    )
    check_path(plan.out)
    settings = json.loads(json.dumps({**asdict(plan), "size": asdict(plan.size)}, default=str))
    marker = plan.out / "quickstart.json"
    if marker.exists():
        if json.loads(marker.read_text(encoding="utf-8")) != settings:
            raise EcgError(f"{plan.out} holds a run with other settings; choose another --out")
    elif plan.out.exists() and any(plan.out.iterdir()):
        raise EcgError(f"{plan.out} is not empty and not a quickstart's; choose another --out")
    write_json(marker, settings)
    return plan


def _ecg_fairseq(*words: object) -> tuple[str, ...]:
    return (str(BIN / "ecg-fairseq"), *map(str, words))


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))
