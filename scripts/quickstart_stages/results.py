"""results.json and report.html from what the stages left."""

import platform
from importlib import metadata

from steps.runner import CommandRunner

from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.answers.predictions import read_predictions
from ecg_fairseq.evaluation.answers.scores import SIMULATED_NOTE
from ecg_fairseq.evaluation.training_log import read_curves
from ecg_fairseq.files import read_json, write_json
from ecg_fairseq.plot.report import choose_examples, write_report
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.store import prepared_sha256
from ecg_fairseq.records.readers.any_format import read_record
from ecg_fairseq.records.record import EcgRecord
from quickstart_stages.plan import Plan

_FEW_PATIENTS = 1000
_PACKAGES = ("ecg-fairseq", "fairseq-fixed", "torch", "transformers", "numpy", "scipy", "wfdb")


def write_results(plan: Plan, runner: CommandRunner) -> None:
    """Write both files into ``plan.out``."""
    manifest = Manifest.load(plan.out / "manifest")
    results = {
        **read_json(plan.out / "scores.json", EcgError, "scores"),
        "seconds": runner.seconds,
        "peak_rss_mb": round(runner.peak_rss_mb),
        "versions": _versions(),
        "data_sha256": manifest.meta["data_sha256"],
        "prepared_sha256": prepared_sha256(manifest.meta),
        "seed": plan.seed,
        "dataset": plan.dataset,
        "simulated": plan.ptb_xl is None or manifest.meta.get("simulated") is True,
        "title": "ECG-Byte quickstart",
        "command": _command(plan),
    }
    write_json(plan.out / "results.json", results)

    def load_record(record_id: str) -> EcgRecord:
        return read_record(plan.records / manifest.record_row(record_id).source, record_id)

    examples = choose_examples(
        read_predictions(plan.out / "predictions.jsonl"), load_record, seed=plan.seed
    )
    curves = read_curves(plan.out / "logs/train.log")
    write_report(plan.out / "report.html", results, examples, curves, _notes(plan, manifest))


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        found[name] = metadata.version(name)
    return found


def _command(plan: Plan) -> str:
    words = ["bash scripts/quickstart.sh", f"--seed {plan.seed}"]
    words += ["--smoke"] if plan.is_smoke else []
    words += ["--ptb-xl PTB_XL"] if plan.ptb_xl else []
    words += ["--ecg-qa ECG_QA"] if plan.ecg_qa else []
    return " ".join(words)


def _notes(plan: Plan, manifest: Manifest) -> list[str]:
    """Return what a reader must know before the figures."""
    notes = []
    if plan.is_smoke:
        notes.append(
            "Smoke run: a tiny model after a handful of updates. It shows that everything works, "
            "and it has learnt nothing."
        )
    if plan.ptb_xl is None:
        notes.append(SIMULATED_NOTE)
    patients = manifest.meta["split"]["patients"]["train"]
    if not plan.is_smoke and patients < _FEW_PATIENTS:
        notes.append(
            f"Trained on {patients} patients only: expect poor figures; a model of this kind needs "
            "thousands."
        )
    return notes
