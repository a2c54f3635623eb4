"""``ecg-fairseq inspect MANIFEST...``: counts, label prevalence, the leakage check, a page."""

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.record_row import SPLITS

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
    """Print what the manifests hold; return 1 when a leak or a damage was found."""
    from ecg_fairseq.records.manifest.leakage import find_leaks

    manifests = [Manifest.load(path) for path in arguments.manifests]
    damaged = [text for m in manifests for text in _damaged(m, not arguments.no_signals)]
    leaks = find_leaks(manifests, has_signals=not arguments.no_signals)
    reports = [{**_summary(manifest), **_labels(manifest)} for manifest in manifests]
    if arguments.html:
        from ecg_fairseq.plot.manifest_page import write_manifest_page

        has_signals = not arguments.no_signals
        write_manifest_page(arguments.html, manifests, reports, leaks, has_signals)
        print(f"written: {arguments.html}", file=sys.stderr)
    hashes = {report["split_hash"] for report in reports}
    if arguments.json:
        found = {"manifests": reports, "leaks": leaks, "damaged": damaged}
        print(json.dumps(found, ensure_ascii=False))
        return 1 if leaks or damaged else 0
    for report in reports:
        _print_report(report)
    if len(hashes) > 1:
        print(
            "note: the split hashes differ; a tokenizer or checkpoint of one manifest is refused "
            "with another"
        )
    for text in damaged:
        print(f"DAMAGED: {text}")
    for leak in leaks:
        print(f"LEAK: {leak}")
    for report in reports:
        if unknown := report["patients_unknown"]:
            print(
                f"leakage check: patients unknown: {unknown} of "
                f"{sum(report['records'].values())} records of {report['path']} count as their own "
                "patient each, so those of one patient may be on several sides"
            )
    print(f"leakage check: {len(leaks)} found" if leaks else "leakage check: nothing found")
    return 1 if leaks or damaged else 0


def _damaged(manifest: Manifest, has_signals: bool) -> list[str]:
    """Return what is not as it was written: the table of records, labels, a shard of the store.

    What is allowed but worth knowing, such as labels that somebody edited, is noted on stderr.
    """
    from ecg_fairseq.records.labels.label_files import (
        LABEL_FOLDER,
        MATRIX_FILE,
        check_label_owner,
    )
    from ecg_fairseq.records.manifest.content_check import RECORDS_FILE, check_records

    labels = manifest.path / LABEL_FOLDER / MATRIX_FILE
    checks: list[tuple[Callable[..., object], tuple[object, ...]]] = [
        (check_records, (manifest.path, manifest.meta)),
        (manifest.store.verify if has_signals else manifest.store.check_sizes, ()),
    ]
    if labels.is_file():
        checks.append((check_label_owner, (labels, manifest.path / RECORDS_FILE)))
    found = []
    for check, arguments in checks:
        try:
            if note := check(*arguments):
                print(f"note: {note}", file=sys.stderr)
        except ManifestError as error:
            found.append(str(error))
    return found


def _summary(manifest: Manifest) -> dict[str, Any]:
    meta, table = manifest.meta, manifest.records
    lines = {split: np.flatnonzero(table.is_on(split)) for split in SPLITS}
    patients = table.patient_ids.first_places()
    rates = np.unique(table.fs_hz[np.concatenate(list(lines.values()))]).tolist()
    return {
        "path": str(manifest.path),
        "dataset": meta.get("dataset"),
        "recipe": f"{meta['recipe'].get('name')} {str(meta['recipe'].get('hash'))[:12]}",
        "segment_shape": list(manifest.shape),
        "input_rates_hz": rates,
        "split_rule": meta["split"].get("rule"),
        "split_hash": manifest.split_hash,
        "records": {split: len(found) for split, found in lines.items()},
        "patients": {split: len(np.unique(patients[found])) for split, found in lines.items()},
        "patients_unknown": _num_without_patient(manifest, np.concatenate(list(lines.values()))),
        "segments": {split: int(table.num_segments[found].sum()) for split, found in lines.items()},
        "questions": {split: len(manifest.questions(split)) for split in SPLITS},
        "skipped": int((~table.is_ok).sum()),
        "store": {key: value for key, value in meta["store"].items() if key != "shards"},
        "statistics": meta["statistics"],
    }


def _num_without_patient(manifest: Manifest, lines: np.ndarray) -> int:
    """Return how many records count as their own patient because nobody said whose they are."""
    note = str(manifest.meta.get("patients", ""))
    # Some datasets have one record of each patient, as published.
    if note.startswith("each record its own patient") and not note.endswith("as published"):
        return len(lines)
    if not manifest.meta.get("records_without_patient"):
        return 0
    ids = manifest.records.record_ids.texts(lines)
    patients = manifest.records.patient_ids.texts(lines)
    return sum(patient == f"record-{name}" for name, patient in zip(ids, patients, strict=True))


def _labels(manifest: Manifest) -> dict[str, Any]:
    """Return the prevalence of all labels, those of the label files first."""
    from ecg_fairseq.records.manifest.prevalence import label_prevalence, label_set_prevalence

    labels, found = label_prevalence(manifest), label_set_prevalence(manifest)
    if found is None:
        return {"labels": labels}
    kind = f"label set {found['set']} (labels/y.npy)"
    return {"labels": {kind: found["positives"], **labels}, "label_set": found}


def _print_report(report: dict[str, Any]) -> None:
    print(f"{report['path']}: {report['dataset']}, recipe {report['recipe']}")
    print(
        f"  segments of shape {tuple(report['segment_shape'])}, recorded at "
        f"{', '.join(f'{rate:g}' for rate in report['input_rates_hz'])} Hz; split by "
        f"{report['split_rule']}, hash {report['split_hash'][:12]}"
    )
    store = report["store"]
    if "largest_error" in store:
        print(
            f"  stored as {store['dtype']}: off by at most {store['largest_error']:g} "
            f"{store['unit']}, {store['clipped_values']} values of {store['clipped_records']} "
            "records clipped"
        )
    print(f"  {'':12}" + "".join(f"{split:>10}" for split in SPLITS))
    for what in ("records", "patients", "segments", "questions"):
        print(f"  {what:12}" + "".join(f"{report[what][split]:>10}" for split in SPLITS))
    print(f"  {'skipped':12}{report['skipped']:>10}")
    for number, (kind, labels) in enumerate(report["labels"].items()):
        print(f"  {kind}:")
        shown = list(labels.items())[:_LABELS_SHOWN]
        if "label_set" in report and number == 0:
            shown = [("(records with labels)", report["label_set"]["labelled"]), *labels.items()]
        for label, found in shown:
            print(f"    {label[:36]:36}" + "".join(f"{found[split]:>8}" for split in SPLITS))
        if len(labels) > len(shown):
            print(f"    ... {len(labels) - len(shown)} more (--json shows all)")
