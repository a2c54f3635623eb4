"""What is run: the commands in order, and which predictions each row of the table is made of."""

import argparse
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from steps.graph import Step
from steps.overrides import override

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import write_json

SCRIPTS = Path(__file__).resolve().parents[1]
PROJECT = SCRIPTS.parent
BIN = Path(sys.executable).parent
PROBED_PERCENTS, FINETUNED_PERCENTS = (1, 10, 100), (100, 10)
NUM_DRAWS = 5  # of the patients of a probe; the first is also finetuning's
FEW_PERCENT = 10  # of the labels: where pretraining should matter most
SCRATCH, PRETRAINED, TRANSFERRED, RANDOM = "scratch", "pretrained", "transferred", "random"
MARKER = "ecg_fm_results.json"


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes:
        patients: of the simulated cohort.
        identified: patients to recognise, for train, valid and test.
        saliency_records: recordings with planted ST elevation.
        training: overrides of every training; none in a full run, which takes the shipped settings.
    """

    patients: int
    identified: tuple[int, int, int]
    saliency_records: int
    training: tuple[str, ...] = ()


FULL = Size(patients=1500, identified=(1000, 60, 220), saliency_records=200)
SMALL = Size(
    patients=60,
    identified=(8, 3, 6),
    saliency_records=4,
    training=(
        "optimization.max_update=3",
        "dataset.batch_size=4",
        "dataset.validate_interval_updates=3",
        "checkpoint.save_interval_updates=3",
        "common.log_interval=1",
    ),
)


@dataclass(frozen=True)
class SystemFiles:
    """Predictions of one row of the table.

    Attributes:
        start: where the encoder's weights are from.
        is_probe: a linear probe on a frozen encoder, else the whole network was trained.
        percent: of the training patients whose labels were used.
        files: one for each draw of those patients.
    """

    start: str
    is_probe: bool
    percent: int
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Plan:
    """Settings; all paths are absolute."""

    out: Path
    seed: int
    patients: int
    label_set: str
    ptb_xl: Path | None
    pretrained: Path | None
    is_small: bool

    @property
    def size(self) -> Size:
        """Full or small."""
        return SMALL if self.is_small else FULL

    @property
    def manifest(self) -> Path:
        """Of the labelled recordings."""
        return self.out / "manifest"

    @property
    def starts(self) -> tuple[str, ...]:
        """Where finetuned networks start."""
        return (PRETRAINED, SCRATCH, *([TRANSFERRED] if self.pretrained else []))

    @property
    def probed(self) -> tuple[str, ...]:
        """Whose embeddings are probed."""
        return (PRETRAINED, RANDOM, *([TRANSFERRED] if self.pretrained else []))

    @property
    def identifies(self) -> bool:
        """Whether patients are identified: only simulated ones, who differ in anatomy alone."""
        return self.ptb_xl is None

    def checkpoint(self, training: str, which: str = "best") -> Path:
        """Return a checkpoint; pretraining's last one counts, of the others the best on valid."""
        return self.out / "checkpoints" / training / f"checkpoint_{which}.pt"

    @property
    def encoder(self) -> Path:
        """The pretrained encoder."""
        return self.checkpoint("pretrain", "last")

    def systems(self) -> Iterator[SystemFiles]:
        """Yield the rows of the table."""
        folder = self.out / "predictions"
        for start in self.starts:
            for percent in FINETUNED_PERCENTS:
                file = folder / f"finetune_{start}_{percent}.tsv"
                yield SystemFiles(start, False, percent, (file,))
        for start in self.probed:
            for percent in reversed(PROBED_PERCENTS):
                draws = range(1 if percent == 100 else NUM_DRAWS)
                files = [folder / f"probe_{start}" / f"{percent}_{draw}.tsv" for draw in draws]
                yield SystemFiles(start, True, percent, tuple(files))

    def steps(self) -> Iterator[Step]:
        """Yield all steps, each behind those it needs."""
        yield from self._data()
        yield self._train("pretrain", "w2v_cmsc_rlm_tiny", ("manifest",))
        if self.identifies:
            yield from self._patients()
        # Those that need no pretraining can run beside it.
        for start in sorted(self.starts, key=lambda start: start == PRETRAINED):
            for percent in FINETUNED_PERCENTS:
                yield from self._finetune(start, percent)
        if self.identifies:
            yield from self._identify()
        for start in self.probed:
            yield self._probe(start)
        if self.ptb_xl is None and (SCRIPTS / "saliency_truth.py").is_file():
            yield self._saliency()

    def _data(self) -> Iterator[Step]:
        raw, inputs, needs = self.ptb_xl, (), ()
        if raw is None:
            raw, needs = self.out / "cohort", ("simulate",)
            words = ("simulate", "--out", raw, "--patients", self.patients, "--seed", self.seed)
            words += ("--question-types", "single", "--workers", _num_cores())
            yield Step("simulate", _texts(BIN / "ecg-fairseq", *words), raw)
        else:
            inputs = (raw / "ptbxl_database.csv",)
        words = (PROJECT / "manifests/ptb_xl.py", raw, "--out", self.manifest)
        words += ("--recipe", "ecg_fm", "--label-set", self.label_set, "--seed", self.seed)
        words += ("--workers", _num_cores())
        command = _texts(sys.executable, *words)
        yield Step("manifest", command, self.manifest, needs, inputs)
        for percent in FINETUNED_PERCENTS:
            if percent < 100:
                out = self._labels(percent)
                words = ("draw-labels", self.manifest, "--fraction", percent / 100)
                yield self._own(f"labels_{percent}", words, out, ("manifest",))

    def _patients(self) -> Iterator[Step]:
        folder = self.out / "people"
        counts = ",".join(map(str, self.size.identified))
        yield self._own("people", ("people", "--people", counts), folder, ())
        words = (PROJECT / "manifests/own_data.py", folder / "ecgs.npy", "--fs", 500)
        words += ("--labels", folder / "people.csv", "--split", "column", "--recipe", "ecg_fm")
        words += ("--out", self.out / "people_manifest")
        command = _texts(sys.executable, *words)
        yield Step("people_manifest", command, self.out / "people_manifest", ("people",))

    def _finetune(self, start: str, percent: int) -> Iterator[Step]:
        name, needs, inputs, overrides = f"finetune_{start}_{percent}", ["manifest"], [], []
        if percent < 100:
            needs.append(f"labels_{percent}")
            overrides.append(f"task.label_file={self._labels(percent) / 'y.npy'}")
        if start == SCRATCH:
            overrides.append("model.no_pretrained_weights=true")
        elif start == PRETRAINED:
            needs.append("pretrain")
            overrides.append(override("model.model_path", self.encoder))
        else:
            inputs.append(self._given())
            overrides += [
                override("model.model_path", self._given()),
                "task.allow_other_split=true",
            ]
        yield self._train(name, "diagnosis_tiny", tuple(needs), tuple(overrides), tuple(inputs))
        words = ("predict", self.manifest, "--checkpoint", self.checkpoint(name))
        out = self.out / "predictions" / f"{name}.tsv"
        yield self._own(f"predict_{name}", words, out, (name,), with_seed=False)

    def _probe(self, start: str) -> Step:
        words = ("probe", self.manifest, "--percents", ",".join(map(str, PROBED_PERCENTS)))
        words += ("--draws", NUM_DRAWS)
        words += ("--checkpoint", self._given() if start == TRANSFERRED else self.encoder)
        words += ("--random",) if start == RANDOM else ()
        needs = ("manifest",) if start == TRANSFERRED else ("manifest", "pretrain")
        inputs = (self._given(),) if start == TRANSFERRED else ()
        name = f"probe_{start}"
        return self._own(name, words, self.out / "predictions" / name, needs, inputs)

    def _identify(self) -> Iterator[Step]:
        data, needs = self.out / "people_manifest", ("people_manifest", "pretrain")
        path = override("model.model_path", self.encoder)
        yield self._train("identification", "identification_tiny", needs, (path,), data=data)
        words = ("identify", data, "--pretrained", self.encoder)
        words += ("--finetuned", self.checkpoint("identification"))
        yield self._own("identify", words, self.out / "identify.json", ("identification",))

    def _saliency(self) -> Step:
        name = f"finetune_{PRETRAINED}_100"
        words = (SCRIPTS / "saliency_truth.py", self.checkpoint(name), "--json")
        words += ("--records", self.size.saliency_records)
        command = _texts(sys.executable, *words)
        return Step("saliency", command, None, (name,), (SCRIPTS / "saliency_truth.py",))

    def _train(
        self,
        name: str,
        config: str,
        needs: tuple[str, ...],
        overrides: tuple[str, ...] = (),
        inputs: tuple[Path, ...] = (),
        data: Path | None = None,
    ) -> Step:
        """Return a training with the shipped settings, apart from paths and the seed."""
        folder = self.out / "checkpoints" / name
        words = (BIN / "fairseq-hydra-train", "--config-name", config)
        words += (override("task.data", data or self.manifest), f"common.seed={self.seed}")
        words += (override("checkpoint.save_dir", folder), *overrides, *self.size.training)
        settings = PROJECT / "ecg_fairseq/config"
        shared = sorted((settings / "shared").rglob("*.yaml"))
        files = (settings / f"{config}.yaml", *shared, *inputs)
        return Step(name, _texts(*words), folder, needs, files)

    def _own(
        self,
        name: str,
        words: tuple[object, ...],
        out: Path,
        needs: tuple[str, ...],
        inputs: tuple[Path, ...] = (),
        with_seed: bool = True,
    ) -> Step:
        """Return a step of ecg_fm_step.py."""
        command = (sys.executable, SCRIPTS / "ecg_fm_step.py", *words, "--out", out)
        command += ("--seed", self.seed) if with_seed else ()
        return Step(name, _texts(*command), out, needs, inputs)

    def _labels(self, percent: int) -> Path:
        return self.out / f"labels_{percent}"

    def _given(self) -> Path:
        if self.pretrained is None:
            raise EcgError("no other encoder was given; name it with --pretrained")
        return self.pretrained


def make_plan(arguments: argparse.Namespace) -> Plan:
    """Return the plan and make its folder.

    Raises:
        EcgError: a path is missing, or ``--out`` holds something else.
    """
    folder, given = arguments.ptb_xl, arguments.pretrained
    if folder is not None and not (folder / "ptbxl_database.csv").is_file():
        raise EcgError(f"{folder} has no ptbxl_database.csv; give PTB-XL's folder")
    if folder is not None and arguments.patients is not None:
        raise EcgError("--patients is the size of a simulated cohort; leave it out with --ptb-xl")
    if given is not None and not given.is_file():
        raise EcgError(f"checkpoint not found: {given}; check --pretrained")
    out = arguments.out.resolve()
    marker = out / MARKER
    if out.exists() and any(out.iterdir()) and not marker.is_file():
        raise EcgError(f"{out} is not empty and no run of this script; choose another --out")
    size = SMALL if arguments.small else FULL
    write_json(marker, {"format": "ecg_fairseq.ecg_fm_results"})
    return Plan(
        out=out,
        seed=arguments.seed,
        patients=size.patients if arguments.patients is None else arguments.patients,
        label_set=arguments.label_set or ("superclass" if folder else "all"),
        ptb_xl=folder and folder.resolve(),
        pretrained=given and given.resolve(),
        is_small=arguments.small,
    )


def _texts(*words: object) -> tuple[str, ...]:
    return tuple(map(str, words))


def _num_cores() -> int:
    return len(os.sched_getaffinity(0))
