"""What the labeler's own tables are worth: F1 against SCP codes, and statements a second.

    python scripts/labeler_scores.py [--ptb-xl DIR] [--heartllm DIR] [--patients N] [--speed FILE]

Reports of a simulated cohort, PTB-XL's reports as they are (mostly German), and HeartLLM's English
translations of them, against the SCP codes of the same recordings. A code that is listed counts,
whatever its likelihood; labels with fewer than five recordings are left out of the macro F1. The
wordings of the simulated reports were written together with the tables: their F1 shows that the
rules work, not how well they read.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from ecg_fairseq.errors import EcgError
from ecg_fairseq.evaluation.reports.agreement import agreement_of
from ecg_fairseq.records.datasets.heartllm import read_heartllm
from ecg_fairseq.records.datasets.ptb_xl_files import read_ptb_xl
from ecg_fairseq.records.questions.ptb_xl_statements import ALL_NAMES
from ecg_fairseq.records.reports.labeler import open_labeler
from ecg_fairseq.records.reports.text_files import read_texts
from ecg_fairseq.records.simulated.plan import draw_case, plan_cohort
from ecg_fairseq.records.simulated.ptb_xl_tables import scp_codes, simulated_report

NAMES = {**ALL_NAMES, "NORM": "normal ecg"}
LEAST, REPEATS = 5, 5


def print_scores(title: str, pairs: Iterable[tuple[str, Iterable[str]]]) -> None:
    """Print micro and macro F1, and each label's, of (report, SCP codes)."""
    statements, known = open_labeler().statements, frozenset(NAMES.values())
    found, right = [], []
    for text, codes in pairs:
        found.append(statements(text) & known)
        right.append(frozenset(NAMES[code] for code in codes if code in NAMES))
    agreement = agreement_of(found, right)
    table = agreement.by_statement()
    shown = {name: row for name, row in table.items() if row["n_reference"] >= LEAST}
    macro = statistics.fmean(row["f1"] for row in shown.values())
    print(
        f"{title}: {len(found)} reports, {len(shown)} labels, macro F1 {macro:.3f}, micro F1 "
        f"{agreement.figures()['clinical_f1']:.3f}"
    )
    for name, row in sorted(shown.items(), key=lambda item: item[1]["f1"]):
        print(f"  {row['f1']:.3f}  {row['n_reference']:>5} {row['n_generated']:>5}  {name}")


def print_speed(path: Path) -> None:
    """Print texts a second on one core, each text new to the labeler; median of five."""
    texts = list(dict.fromkeys(read_texts(path)))
    rates = []
    for _ in range(REPEATS):
        labeler = open_labeler()
        start = time.perf_counter()
        for text in texts:
            labeler.label(text)
        rates.append(len(texts) / (time.perf_counter() - start))
    print(f"{len(texts)} different texts: {statistics.median(rates):.0f} a second")


def main() -> int:
    """Print what was asked for; return 1 when a folder cannot be read."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--ptb-xl", type=Path, metavar="DIR")
    parser.add_argument("--heartllm", type=Path, metavar="DIR", help="needs --ptb-xl")
    parser.add_argument("--patients", type=int, default=500, help="simulated patients")
    parser.add_argument("--speed", type=Path, metavar="FILE", help="one text a line")
    arguments = parser.parse_args()
    try:
        cases = [draw_case(planned, 1) for planned in plan_cohort(arguments.patients, 1)]
        for style in ("english", "german"):
            pairs = [(simulated_report(case, 1, style), scp_codes(case.findings)) for case in cases]
            print_scores(f"simulated, {style}", pairs)
        if arguments.ptb_xl:
            sources = {item.record_id: item for item in read_ptb_xl(arguments.ptb_xl)}
            codes = {
                name: json.loads(item.labels_json)["scp_codes"] for name, item in sources.items()
            }
            print_scores("PTB-XL", ((item.report, codes[name]) for name, item in sources.items()))
        if arguments.ptb_xl and arguments.heartllm:
            english = read_heartllm(arguments.heartllm, "report").reports
            pairs = [(text, codes[name]) for name, text in english.items() if name in codes]
            print_scores("PTB-XL in English", pairs)
        if arguments.speed:
            print_speed(arguments.speed)
    except EcgError as error:
        print(f"labeler_scores: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
