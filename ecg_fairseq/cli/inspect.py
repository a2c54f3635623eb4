"""``ecg-fairseq inspect MANIFEST...``: counts, label prevalence, the leakage check, a page."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from ecg_fairseq.records.manifest import SPLITS, Manifest

_LABELS_SHOWN = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument(
        "manifests",
        nargs="+",
        type=Path,
        metavar="MANIFEST",
        help="manifest folders; all those of one result are checked against each other",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--no-signals", action="store_true", help="do not read the store for identical signals"
    )
    parser.add_argument(
        "--html", type=Path, metavar="OUT.HTML", help="also write one page with a contact sheet"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print what the manifests hold; return 1 when a leak was found."""
    from ecg_fairseq.records.leakage import find_leaks
    from ecg_fairseq.records.prevalence import label_prevalence

    manifests = [Manifest.load(path) for path in arguments.manifests]
    leaks = find_leaks(manifests, has_signals=not arguments.no_signals)
    reports = [
        {**_summary(manifest), "labels": label_prevalence(manifest)} for manifest in manifests
    ]
    if arguments.html:
        from ecg_fairseq.plot.manifest_page import write_manifest_page

        has_signals = not arguments.no_signals
        write_manifest_page(arguments.html, manifests, reports, leaks, has_signals)
        print(f"written: {arguments.html}", file=sys.stderr)
    hashes = {report["split_hash"] for report in reports}
    if arguments.json:
        print(json.dumps({"manifests": reports, "leaks": leaks}, ensure_ascii=False))
        return 1 if leaks else 0
    for report in reports:
        _print_report(report)
    if len(hashes) > 1:
        print(
            "note: the split hashes differ; a tokenizer or checkpoint of one manifest is refused "
            "with another"
        )
    for leak in leaks:
        print(f"LEAK: {leak}")
    print(f"leakage check: {len(leaks)} found" if leaks else "leakage check: nothing found")
    return 1 if leaks else 0


def _summary(manifest: Manifest) -> dict[str, Any]:
    meta = manifest.meta
    sides = {split: list(manifest.split_records(split)) for split in SPLITS}
    rates = sorted({row.fs_hz for rows in sides.values() for row in rows})
    return {
        "path": str(manifest.path),
        "dataset": meta.get("dataset"),
        "recipe": f"{meta['recipe'].get('name')} {str(meta['recipe'].get('hash'))[:12]}",
        "segment_shape": list(manifest.shape),
        "input_rates_hz": rates,
        "split_rule": meta["split"].get("rule"),
        "split_hash": manifest.split_hash,
        "records": {split: len(rows) for split, rows in sides.items()},
        "patients": {split: len({row.patient_id for row in rows}) for split, rows in sides.items()},
        "segments": {split: sum(r.num_segments for r in rows) for split, rows in sides.items()},
        "questions": {split: len(manifest.questions(split)) for split in SPLITS},
        "skipped": sum(not row.is_ok for row in manifest.records.values()),
        "statistics": meta["statistics"],
    }


def _print_report(report: dict[str, Any]) -> None:
    print(f"{report['path']}: {report['dataset']}, recipe {report['recipe']}")
    print(
        f"  segments of shape {tuple(report['segment_shape'])}, recorded at "
        f"{', '.join(f'{rate:g}' for rate in report['input_rates_hz'])} Hz; split by "
        f"{report['split_rule']}, hash {report['split_hash'][:12]}"
    )
    print(f"  {'':12}" + "".join(f"{split:>10}" for split in SPLITS))
    for what in ("records", "patients", "segments", "questions"):
        print(f"  {what:12}" + "".join(f"{report[what][split]:>10}" for split in SPLITS))
    print(f"  {'skipped':12}{report['skipped']:>10}")
    for kind, labels in report["labels"].items():
        print(f"  {kind}:")
        for label, found in list(labels.items())[:_LABELS_SHOWN]:
            print(f"    {label[:36]:36}" + "".join(f"{found[split]:>8}" for split in SPLITS))
        if len(labels) > _LABELS_SHOWN:
            print(f"    ... {len(labels) - _LABELS_SHOWN} more (--json shows all)")
