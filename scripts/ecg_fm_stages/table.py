"""The results as text: what a reader wants to see, with what the figures mean."""

from typing import Any

from ecg_fairseq.evaluation.labels.auroc_table import figure_text

_FEW_PATIENTS = 1000
_NAMES_SHOWN = 4
_SALIENCY = {
    "lead_share": "positive gradient x input in V1-V4",
    "st_share": "positive gradient x input in ST segments",
    "peak_in_st": "segments whose peak lies in an ST segment",
    "peak_in_planted_lead": "segments whose peak lies in V1-V4",
}


def table_text(results: dict[str, Any]) -> str:
    """Return markdown."""
    parts = [f"# ECG-FM on {results['data']['name']}", f"    {results['command']}"]
    parts += _notes(results)
    parts += _labels(results) + _differences(results) + _gap(results["gap_closed"])
    if results["identification"]:
        parts += _identification(results["identification"])
    if results["saliency"]:
        parts += _saliency(results["saliency"])
    parts += _pretraining(results["pretraining"]) + _provenance(results)
    return "\n\n".join(parts) + "\n"


def _notes(results: dict[str, Any]) -> list[str]:
    notes = []
    if results["is_small"]:
        notes.append(
            "Small run: a handful of updates. It shows that everything works; nothing is learnt."
        )
    if not results["data"]["name"].startswith("PTB-XL"):
        notes.append("Simulated ECGs: these figures say nothing about real patients.")
    patients = results["data"]["patients"]["train"]
    if not results["is_small"] and patients < _FEW_PATIENTS:
        notes.append(
            f"Trained on {patients} patients only: expect poor figures and wide intervals."
        )
    return notes


def _labels(results: dict[str, Any]) -> list[str]:
    lines = [
        "| system | labels | macro AUROC | macro AUPRC | micro AUROC |",
        "|---|---:|---|---|---|",
    ]
    for row in results["rows"]:
        cells = (figure_text(row["macro"], "auroc"), figure_text(row["macro"], "auprc"))
        cells += (figure_text(row["micro"], "auroc"),)
        lines.append(f"| {row['system']} | {row['percent']} % | {' | '.join(cells)} |")
    first = results["rows"][0]
    text = (
        f"Labels: of that share of the training patients; validation, which chooses checkpoint and "
        f"regularisation, is labelled throughout. {first['caption']} Below 100 %, a probe is the "
        "mean over draws of the training patients ± their standard deviation; finetuning has the "
        "patients of the first draw, once."
    )
    missing = [
        f"{row['system']} at {row['percent']} %: {_some(row['labels_without_figure'])}"
        for row in results["rows"]
        if row["labels_without_figure"]
    ]
    if missing:
        text += (
            " Macro is the mean over the labels that have a figure (of each draw, those that it "
            f"could learn). Without one, or not in every draw: {'; '.join(missing)}."
        )
    return ["\n".join(lines), text]


def _some(names: list[str]) -> str:
    """Return a few names, or of many the number."""
    return ", ".join(names) if len(names) <= _NAMES_SHOWN else f"{len(names)} labels"


def _differences(results: dict[str, Any]) -> list[str]:
    lines = ["| difference | labels | macro AUROC | macro AUPRC |", "|---|---:|---|---|"]
    for row in results["differences"]:
        cells = [
            figure_text(row["macro"], curve, is_difference=True) for curve in ("auroc", "auprc")
        ]
        lines.append(f"| {row['name']} | {row['percent']} % | {' | '.join(cells)} |")
    return ["\n".join(lines), "Both systems on the same test patients."]


def _gap(gap: dict[str, Any]) -> list[str]:
    head = f"## Gap closed by pretraining at {gap['percent']} % of the labels"
    lines = [
        "| probes | labels | random probe | pretrained probe | pretrained + finetuned | share |",
        "|---|---:|---|---|---|---|",
    ]
    for key, words in (
        ("first_draw", "patients of the finetuning"),
        ("all_draws", "mean over draws of the patients"),
    ):
        own = gap[key]
        names = ("random_probe", "pretrained_probe", "pretrained_finetuned")
        cells = [str(own["labels"]), *(_number(own.get(name)) for name in names)]
        share = _number(own["share"])
        if own["low"] is not None:
            share += f" [{own['low']:.3f}, {own['high']:.3f}]"
        lines.append(f"| {words} | {' | '.join(cells)} | {share} |")
    return [
        head,
        "\n".join(lines),
        "Macro AUROC over the labels that all three score in every draw. Share of the gap: "
        "(pretrained probe - random probe) / (pretrained + finetuned - random probe), with a 95 % "
        "interval by patient; '-' where finetuning is no better than the random probe (for the "
        "interval: in more than 2.5 % of the draws of test patients).",
    ]


def _identification(found: dict[str, Any]) -> list[str]:
    lines = ["| by | own person found first |", "|---|---|"]
    lines += [
        f"| {row['system']} | {row['accuracy']:.3f} [{row['low']:.3f}, {row['high']:.3f}] |"
        for row in found["rows"]
    ]
    lines.append(f"| chance | {found['chance']:.4f} |")
    return [
        "## Identification",
        "\n".join(lines),
        f"{found['probes']} probes, {found['gallery']} people in the gallery: one 5 s segment of "
        "each of two visits, nearest by cosine; 95 % intervals over resampled people. The people "
        "differ in anatomy alone: no finding, and heart rate and noise are drawn anew at each "
        "visit. Nobody of them was trained on.",
    ]


def _saliency(found: dict[str, Any]) -> list[str]:
    trained, floor = found["trained"], found["random"]
    lines = ["| | trained | detected only | random weights | chance |", "|---|---|---|---|---|"]
    for name, words in _SALIENCY.items():
        cells = [_interval(side[name]) for side in (trained["all"], trained["detected"])]
        cells.append(_interval(floor["all"][name]))
        lines.append(f"| {words} | {' | '.join(cells)} | {trained['chance'][name]:.3f} |")
    return [
        f"## Saliency of planted ST elevation in V1-V4 ({found['label']})",
        "\n".join(lines),
        f"Pretrained + finetuned on all labels; {trained['segments']} segments of "
        f"{trained['patients']} simulated patients, {trained['detected_segments']} detected.",
    ]


def _pretraining(ends: dict[str, Any]) -> list[str]:
    lines = [
        "| pretraining | update | loss | accuracy | code perplexity |",
        "|---|---:|---|---|---|",
    ]
    for part, own in ends.items():
        for when in ("first", "last"):
            point = own[when]
            cells = [_number(point.get(key)) for key in ("loss", "accuracy", "code_perplexity")]
            lines.append(f"| {part}, {when} | {point['update']} | {' | '.join(cells)} |")
    return ["## Pretraining", "\n".join(lines), "![curves](curves.png)"]


def _provenance(results: dict[str, Any]) -> list[str]:
    data = results["data"]
    seconds = "\n".join(f"| {name} | {value} |" for name, value in results["seconds"].items())
    patients = ", ".join(f"{count} {side}" for side, count in data["patients"].items())
    versions = ", ".join(f"{name} {value}" for name, value in results["versions"].items())
    return [
        "## What it was made of",
        f"{data['records']} recordings; patients: {patients}; label set {data['label_set']}; data "
        f"{data['data_sha256'][:12]}, split {data['split_hash'][:12]}. {versions}. Up to "
        f"{results['jobs']} steps side by side, {results['threads_per_job']} threads each.",
        f"| step | seconds |\n|---|---:|\n{seconds}",
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(found: dict[str, float] | None) -> str:
    if found is None:
        return "-"
    return f"{found['mean']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
