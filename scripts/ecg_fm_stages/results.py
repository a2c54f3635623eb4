"""table.md, results.json and curves.png from what the steps left."""

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from steps.graph import StepGraph

from ecg_fairseq.errors import EcgError, ScoreError
from ecg_fairseq.evaluation.training_log import read_curves
from ecg_fairseq.files import atomic_write, read_json, sha256_of_file, write_json
from ecg_fairseq.records.manifest.folder import read_meta
from ecg_fairseq.records.manifest.store import prepared_sha256
from ecg_fm_stages.curves import draw_curves
from ecg_fm_stages.label_systems import averages, differences, gap_closed, read_system
from ecg_fm_stages.plan import Plan
from ecg_fm_stages.table import table_text

_PACKAGES = ("ecg-fairseq", "fairseq-fixed", "torch", "numpy", "scipy", "scikit-learn")


def write_results(plan: Plan, graph: StepGraph) -> list[Path]:
    """Write the three files; return their paths."""
    systems = [read_system(files) for files in plan.systems()]
    rows = [
        {
            "system": system.name,
            "percent": system.files.percent,
            "draws": len(system.files.files),
            **averages(table),
            "labels": table.to_dict()["labels"],
            "labels_without_figure": list(table.unscored),
            "caption": table.caption(),
        }
        for system in systems
        for table in [system.table()]
    ]
    points = read_curves(graph.log("pretrain"))
    results: dict[str, Any] = {
        "command": _command(plan),
        "is_small": plan.is_small,
        "data": _data(plan),
        "rows": rows,
        "differences": differences(systems),
        "gap_closed": gap_closed(systems),
        "identification": _optional(plan, plan.out / "identify.json"),
        "saliency": _saliency(graph),
        "pretraining": _ends(points),
        "seconds": graph.seconds,
        "jobs": graph.jobs,
        "threads_per_job": int(os.environ["OMP_NUM_THREADS"]),
        "peak_rss_mb": round(graph.peak_rss_mb),
        "versions": _versions(),
    }
    paths = [plan.out / name for name in ("table.md", "results.json", "curves.png")]
    with atomic_write(paths[0]) as stream:
        stream.write(table_text(results))
    write_json(paths[1], results)
    draw_curves(points, paths[2], f"Pretraining: {results['data']['name']}, seed {plan.seed}")
    return paths


def _command(plan: Plan) -> str:
    words = ["python scripts/ecg_fm_results.py --out DIR", f"--seed {plan.seed}"]
    words += ["--small"] if plan.is_small else []
    words += ["--ptb-xl PTB_XL"] if plan.ptb_xl else [f"--patients {plan.patients}"]
    words += [f"--label-set {plan.label_set}"]
    words += ["--pretrained CKPT"] if plan.pretrained else []
    return " ".join(words)


def _data(plan: Plan) -> dict[str, Any]:
    meta = read_meta(plan.manifest)
    identified = read_meta(plan.out / "people_manifest") if plan.identifies else None
    return {
        "name": "PTB-XL recordings" if plan.ptb_xl else "simulated cohort",
        "records": meta["counts"]["records"],
        "patients": meta["split"]["patients"],
        "label_set": plan.label_set,
        "data_sha256": meta["data_sha256"],
        "prepared_sha256": prepared_sha256(meta),
        "split_hash": meta["split"]["hash"],
        "people_data_sha256": identified and identified["data_sha256"],
        "pretrained_sha256": plan.pretrained and sha256_of_file(plan.pretrained),
    }


def _optional(plan: Plan, path: Path) -> Any:
    return read_json(path, EcgError, "identification") if plan.identifies else None


def _saliency(graph: StepGraph) -> Any:
    """Return what the saliency step printed last; None when it was no step of this run."""
    if "saliency" not in graph.seconds:
        return None
    lines = graph.log("saliency").read_text(encoding="utf-8", errors="replace").splitlines()
    for line in reversed(lines):
        if line.startswith("{"):
            return json.loads(line)
    raise ScoreError(f"{graph.log('saliency')} has no line of JSON")


def _ends(points: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the first and last figures of training and validation."""
    parts = {
        part: [point for point in points if point["part"] == part]
        for part in ("train_inner", "valid")
    }
    return {part: {"first": own[0], "last": own[-1]} for part, own in parts.items() if own}


def _versions() -> dict[str, str]:
    return {"python": platform.python_version()} | {
        name: metadata.version(name) for name in _PACKAGES
    }
