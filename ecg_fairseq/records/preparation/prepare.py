"""From a dataset to a manifest folder: many processes, resumable, the same bytes for any number.

Records are cut into shards by their order alone. A finished shard has a ``done`` file, so a killed
run goes on where it was. Sides, statistics and questions are made once all signals are known,
because byte-identical signals must end in one split.
"""

import json
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ecg_fairseq.errors import ManifestError, RecordError
from ecg_fairseq.folder_lock import locked_folder
from ecg_fairseq.progress import track
from ecg_fairseq.records.manifest.splits import (
    Assignment,
    Member,
    split_as_published,
    split_by_patient,
    split_hash,
)
from ecg_fairseq.records.manifest.store import Store, scale_of
from ecg_fairseq.records.preparation.folder import (
    claim_folder,
    finished_shards,
    remove,
    remove_leftovers,
)
from ecg_fairseq.records.preparation.manifest_writer import (
    SKIPPED_FILE,
    ManifestContent,
    patient_splits,
    write_manifest,
    write_skipped,
)
from ecg_fairseq.records.preparation.options import PrepareOptions
from ecg_fairseq.records.preparation.percentiles import (
    count_values,
    no_statistics,
    published_statistics,
    statistics_of,
)
from ecg_fairseq.records.preparation.raw_dataset import Questions, RawDataset
from ecg_fairseq.records.preparation.registered import (
    forget_registered,
    keep_registered,
    note_registered,
    read_registered,
)
from ecg_fairseq.records.preparation.shard_jobs import (
    CountTask,
    Outcome,
    ShardResult,
    ShardTask,
    count_shard,
    load_plausible,
    prepare_shard,
    run_tasks,
)
from ecg_fairseq.records.questions.sample import limit_questions
from ecg_fairseq.records.record_row import SPLITS, RecordRow
from ecg_fairseq.records.source_record import SourceRecord

_MANY_VALUES = 100_000_000
_MOST_SHOWN = 12


def prepare(raw_dataset: RawDataset, options: PrepareOptions) -> dict[str, Any]:
    """Prepare a dataset; return {records, skipped, segments, seconds}.

    With ``options.shard`` only a part of the store is written; a run without it completes the rest.

    Raises:
        ManifestError: nothing to prepare, too many skipped records, or the folder holds another
            preparation.
        EcgError: the disk is full, a worker died, or another command writes into the folder.
    """
    options.check()
    raw_dataset.check()
    part = f"{options.shard[0]}-of-{options.shard[1]}" if options.shard else ""
    with locked_folder(options.out, f"preparation of {raw_dataset.name}", part):
        return _prepare(raw_dataset, options)


def _prepare(raw_dataset: RawDataset, options: PrepareOptions) -> dict[str, Any]:
    start = time.monotonic()
    earlier = read_registered(options.out)
    claim_folder(raw_dataset, options)
    if not options.shard:
        note_registered(options.out, earlier)
    results = _write_store(raw_dataset, options)
    if options.shard:
        outcomes = [outcome for result in results.values() for outcome in result.outcomes]
        usable = [outcome for outcome in outcomes if outcome.num_segments]
        counts = {
            "records": len(usable),
            "skipped": len(outcomes) - len(usable),
            "segments": sum(outcome.num_segments for outcome in usable),
        }
    else:
        ordered = [results[index] for index in sorted(results)]
        meta = _finish(raw_dataset, options, ordered, earlier)
        forget_registered(options.out)
        counts = {key: meta["counts"][key] for key in ("records", "skipped", "segments")}
    return {**counts, "seconds": round(time.monotonic() - start, 2)}


def estimate(
    raw_dataset: RawDataset, options: PrepareOptions, num_samples: int = 8
) -> dict[str, Any]:
    """Try a few records and project time and disk for all, writing nothing.

    Returns:
        {records, tried, skipped, bytes, seconds, bytes_free}.
    """
    options.check()
    raw_dataset.check()
    positions = np.linspace(
        0, len(raw_dataset.sources) - 1, min(num_samples, len(raw_dataset.sources))
    )
    chosen = [raw_dataset.sources[int(position)] for position in positions]
    _try_record(chosen[0], options)  # the first call also imports and designs filters
    start = time.monotonic()
    counts = [_try_record(source, options) for source in chosen]
    per_record = (time.monotonic() - start) / len(chosen)
    num_bytes = np.dtype(options.dtype).itemsize * options.recipe.num_values
    existing = next(
        path for path in (options.out.resolve(), *options.out.resolve().parents) if path.exists()
    )
    return {
        "records": len(raw_dataset.sources),
        "tried": len(chosen),
        "skipped": counts.count(0),
        "bytes": int(sum(counts) / len(chosen) * num_bytes * len(raw_dataset.sources)),
        "seconds": round(per_record * len(raw_dataset.sources) / max(1, options.workers), 1),
        "bytes_free": shutil.disk_usage(existing).free,
    }


def _try_record(source: SourceRecord, options: PrepareOptions) -> int:
    try:
        record, _ = load_plausible(source, options.accept_amplitude)
        return len(options.recipe.apply(record.signal, record.leads, record.fs_hz))
    except RecordError:
        return 0


def records_per_shard(num_records: int) -> int:
    """Return the shard size: about 64 shards, at least 16 and at most 4096 records each."""
    return min(4096, max(16, -(-num_records // 64)))


def _write_store(raw_dataset: RawDataset, options: PrepareOptions) -> dict[int, ShardResult]:
    size = records_per_shard(len(raw_dataset.sources))
    parts = [
        raw_dataset.sources[start : start + size]
        for start in range(0, len(raw_dataset.sources), size)
    ]
    if options.shard:
        wanted = list(range(options.shard[0], len(parts), options.shard[1]))
    else:
        wanted = list(range(len(parts)))
    results = finished_shards(options, {index: parts[index] for index in wanted})
    missing = [index for index in wanted if index not in results]
    tasks = (
        ShardTask(
            folder=str(options.out),
            index=index,
            sources=parts[index],
            recipe=options.recipe,
            dtype=options.dtype,
            accept_amplitude=options.accept_amplitude,
        )
        for index in missing
    )
    skipped = [item for result in results.values() for item in result.outcomes if item.reason]
    total = sum(len(parts[index]) for index in missing)
    allowed = options.max_skip_fraction * sum(len(parts[index]) for index in wanted)
    workers = min(options.workers, len(missing))
    for outcome in track(_outcomes(tasks, workers, results), total, "records", options.progress):
        if outcome.reason:
            skipped.append(outcome)
            _check_skipped(skipped, allowed, options)
    _check_skipped(skipped, allowed, options)
    return results


def _outcomes(
    tasks: Iterator[ShardTask], workers: int, results: dict[int, ShardResult]
) -> Iterator[Outcome]:
    for result in run_tasks(prepare_shard, tasks, workers):
        index = int(Path(result.shard.file).stem.rpartition("-")[2])
        results[index] = result
        yield from result.outcomes


def _check_skipped(skipped: list[Outcome], allowed: float, options: PrepareOptions) -> None:
    if len(skipped) <= allowed:
        return
    rows = [RecordRow(item.record_id, "", status="skipped", reason=item.reason) for item in skipped]
    write_skipped(options.out / SKIPPED_FILE, rows)
    reason, count = Counter(item.reason for item in skipped).most_common(1)[0]
    raise ManifestError(
        f"{len(skipped)} records were skipped, more than --max-skip-fraction "
        f"{options.max_skip_fraction:g} allows; most often ({count}): {reason}; all reasons are in "
        f"{options.out / SKIPPED_FILE}"
    )


def _finish(
    raw_dataset: RawDataset,
    options: PrepareOptions,
    results: list[ShardResult],
    earlier: dict[str, Any],
) -> dict[str, Any]:
    """Write everything but the store. Without meta.json a folder counts as unfinished."""
    outcomes = [outcome for result in results for outcome in result.outcomes]
    assignment = _assign(raw_dataset, outcomes, options.seed)
    rows = _rows(raw_dataset, outcomes, assignment)
    shards = [result.shard for result in results]
    tokenizer = keep_registered(options, earlier, split_hash(patient_splits(rows)), shards)
    remove(options.out / "meta.json")
    remove_leftovers(options.out)
    statistics = _statistics(rows, results, options)
    questions, notes = raw_dataset.make_questions([row for row in rows if row.is_ok], options.seed)
    questions, sampling = limit_questions(questions, options.max_questions, options.seed)
    _report_splits_without_questions(questions)
    notes = {**notes, **sampling, **_signal_notes(outcomes)}
    if assignment.moves:
        notes = {**notes, f"records_{raw_dataset.straddle}": len(assignment.moves)}
        _report_moves(raw_dataset, assignment)
    content = ManifestContent(
        dataset=raw_dataset.name,
        recipe=options.recipe,
        dtype=options.dtype,
        shards=shards,
        tokenizer=tokenizer,
        records=rows,
        questions=questions,
        statistics=statistics,
        signal_hashes={item.record_id: item.signal_hash for item in outcomes if not item.reason},
        num_clipped={item.record_id: item.num_clipped for item in outcomes if item.num_clipped},
        split_rule=raw_dataset.split_rule,
        seed=options.seed,
        label_set=raw_dataset.label_set,
        notes={**raw_dataset.notes, **notes},
    )
    return write_manifest(options.out, content)


def _signal_notes(outcomes: list[Outcome]) -> dict[str, Any]:
    """Return how many usable records have which oddity, and say it; nothing odd, no entry."""
    usable = [item for item in outcomes if not item.reason]
    findings = Counter(kind for item in usable for kind in item.findings)
    num_still = sum(item.num_still for item in usable)
    notes: dict[str, Any] = {}
    if findings:
        notes["findings"] = {kind: findings[kind] for kind in sorted(findings)}
    if num_still:
        notes["still_segments_left_out"] = num_still
        findings["segments in which no lead moves, left out"] = num_still
    if findings:
        shown = "; ".join(f"{kind}: {count}" for kind, count in findings.most_common(_MOST_SHOWN))
        print(f"signals of the {len(usable)} records: {shown}", file=sys.stderr)
    return {"signals": notes} if notes else {}


def _assign(raw_dataset: RawDataset, outcomes: list[Outcome], seed: int) -> Assignment:
    hashes = {item.record_id: item.signal_hash for item in outcomes if not item.reason}
    usable = [source for source in raw_dataset.sources if source.record_id in hashes]
    members = [
        Member(source.record_id, source.patient_id, hashes[source.record_id]) for source in usable
    ]
    if not members:
        raise ManifestError(f"{raw_dataset.name}: every record was skipped; see skipped.tsv")
    if any(source.split for source in usable):
        return split_as_published(members, {item.record_id: item.split for item in usable})
    return split_by_patient(members, seed)


def _rows(
    raw_dataset: RawDataset, outcomes: list[Outcome], assignment: Assignment
) -> list[RecordRow]:
    moved = {record_id: (old, new) for record_id, old, new in assignment.moves}
    rows = []
    next_row = 0
    for source, outcome in zip(raw_dataset.sources, outcomes, strict=True):
        row = RecordRow(
            record_id=source.record_id,
            patient_id=source.patient_id,
            split=assignment.sides.get(source.record_id, ""),
            age=source.age,
            sex=source.sex,
            fs_hz=outcome.fs_hz,
            labels_json=source.labels_json,
            report=source.report,
            source=source.source or source.path,
        )
        reason = outcome.reason
        if not reason and raw_dataset.straddle == "drop" and source.record_id in moved:
            old, new = moved[source.record_id]
            reason = f"published for {old}, but its patient or an identical signal is on {new}"
        if reason:
            rows.append(replace(row, split="", status="skipped", reason=reason))
        else:
            rows.append(replace(row, first_row=next_row, num_segments=outcome.num_segments))
        next_row += outcome.num_segments
    rows += [
        RecordRow(record_id, patient_id, status="skipped", reason=reason)
        for record_id, patient_id, reason in raw_dataset.left_out
    ]
    return rows


def _report_splits_without_questions(questions: Questions) -> None:
    without = [split for split in SPLITS if not questions.get(split)]
    if without and any(questions.values()):
        print(
            f"no questions on {', '.join(without)}: training on questions needs some on train and "
            "valid, scores some on test",
            file=sys.stderr,
        )


def _report_moves(raw_dataset: RawDataset, assignment: Assignment) -> None:
    verb = "dropped from" if raw_dataset.straddle == "drop" else "moved from"
    for record_id, old, new in assignment.moves:
        print(
            f"record {record_id}: {verb} {old}: its patient or an identical signal is on {new}",
            file=sys.stderr,
        )


def _statistics(
    rows: list[RecordRow], results: list[ShardResult], options: PrepareOptions
) -> dict[str, Any]:
    scale = scale_of(options.dtype)
    description = {
        "dtype": options.dtype,
        "scale_mv": scale,
        "shards": [result.shard.to_dict() for result in results],
    }
    store = Store(options.out, description, options.recipe.shape)
    wanted = [
        row.first_row + segment
        for row in rows
        if row.split == "train"
        for segment in range(row.num_segments)
    ]
    if not wanted:
        print(
            "the training side has no usable record: this manifest serves for evaluation only, and "
            "no percentiles were taken",
            file=sys.stderr,
        )
        return no_statistics(options.percentile_rule)
    if options.percentile_rule == "first-four-windows":
        return published_statistics((store.read(row) for row in wanted), options.seed)
    per_shard: dict[int, list[int]] = {}
    for row in wanted:
        index, inside = store.locate(row)
        per_shard.setdefault(index, []).append(inside)
    tasks = [
        CountTask(
            str(options.out), results[i].shard, options.recipe.shape, options.dtype, scale, inside
        )
        for i, inside in per_shard.items()
    ]
    is_much = len(wanted) * options.recipe.num_values > _MANY_VALUES
    counts = count_values(np.empty(0))
    for part in run_tasks(count_shard, tasks, options.workers if is_much else 1):
        counts += part
    return statistics_of(counts)


def summary_line(summary: dict[str, Any]) -> str:
    """Return the last line a manifest script prints."""
    return json.dumps(summary)
