"""The diagnoses that the PhysioNet/CinC Challenge 2021 scored, and label sets of SNOMED CT codes.

Thirty codes in the order of the challenge's weight matrix; four pairs were scored as one diagnosis,
which leaves 26 classes. Reyna et al., CinC 2021, doi 10.23919/CinC53138.2021.9662687; tables
``dx_mapping_scored.csv`` and ``weights.csv`` of physionetchallenges/evaluation-2021.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.labels.label_set import LabelSet
from ecg_fairseq.records.record_row import RecordRow

LABEL_SETS = ("challenge_2021", "challenge_2021_uncombined", "cpsc_2018", "all")
_CODE = re.compile(r"\d{6,18}", re.ASCII)  # a SNOMED CT identifier


@dataclass(frozen=True)
class ScoredDiagnosis:
    """A scored SNOMED CT code with the challenge's abbreviation."""

    code: str
    abbreviation: str
    name: str


# One line a class; codes of one line were scored as the same diagnosis.
SCORED_CLASSES: tuple[tuple[ScoredDiagnosis, ...], ...] = tuple(
    tuple(ScoredDiagnosis(*diagnosis) for diagnosis in diagnoses)
    for diagnoses in (
        (("164889003", "AF", "atrial fibrillation"),),
        (("164890007", "AFL", "atrial flutter"),),
        (("6374002", "BBB", "bundle branch block"),),
        (("426627000", "Brady", "bradycardia"),),
        (
            ("733534002", "CLBBB", "complete left bundle branch block"),
            ("164909002", "LBBB", "left bundle branch block"),
        ),
        (
            ("713427006", "CRBBB", "complete right bundle branch block"),
            ("59118001", "RBBB", "right bundle branch block"),
        ),
        (("270492004", "IAVB", "1st degree av block"),),
        (("713426002", "IRBBB", "incomplete right bundle branch block"),),
        (("39732003", "LAD", "left axis deviation"),),
        (("445118002", "LAnFB", "left anterior fascicular block"),),
        (("164947007", "LPR", "prolonged pr interval"),),
        (("251146004", "LQRSV", "low qrs voltages"),),
        (("111975006", "LQT", "prolonged qt interval"),),
        (("698252002", "NSIVCB", "nonspecific intraventricular conduction disorder"),),
        (("426783006", "NSR", "sinus rhythm"),),
        (
            ("284470004", "PAC", "premature atrial contraction"),
            ("63593006", "SVPB", "supraventricular premature beats"),
        ),
        (("10370003", "PR", "pacing rhythm"),),
        (("365413008", "PRWP", "poor r wave progression"),),
        (
            ("427172004", "PVC", "premature ventricular contractions"),
            ("17338001", "VPB", "ventricular premature beats"),
        ),
        (("164917005", "QAb", "q wave abnormal"),),
        (("47665007", "RAD", "right axis deviation"),),
        (("427393009", "SA", "sinus arrhythmia"),),
        (("426177001", "SB", "sinus bradycardia"),),
        (("427084000", "STach", "sinus tachycardia"),),
        (("164934002", "TAb", "t wave abnormal"),),
        (("59931005", "TInv", "t wave inversion"),),
    )
)
# The nine classes of CPSC 2018 (Liu et al. 2018, doi 10.1166/jmihi.2018.2442) by their codes in
# the challenge's headers, in the order of CPSC's own numbers 1 to 9.
CPSC_CLASSES = (
    ("426783006", "SNR"),
    ("164889003", "AF"),
    ("270492004", "IAVB"),
    ("164909002", "LBBB"),
    ("59118001", "RBBB"),
    ("284470004", "PAC"),
    ("164884008", "PVC"),
    ("429622005", "STD"),
    ("164931005", "STE"),
)


def parse_codes(text: str) -> list[str]:
    """Return the codes of ``164889003,59118001`` in order, each once; other words are left out."""
    found = (part.strip() for part in text.split(","))
    return list(dict.fromkeys(part for part in found if _CODE.fullmatch(part)))


def snomed_label_set(name: str, codes_seen: Iterable[str]) -> LabelSet:
    """Return a label set over the ``snomed`` labels of records.

    Args:
        name: ``challenge_2021`` (26 classes, named ``CLBBB|LBBB`` where two codes are one),
            ``challenge_2021_uncombined`` (30 codes by abbreviation), ``cpsc_2018`` (nine classes)
            or ``all`` (every code, as it stands).
        codes_seen: codes that occur in the data, for ``all``.

    Raises:
        ManifestError: an unknown name.
    """
    if name == "challenge_2021":
        names = {
            diagnosis.code: "|".join(member.abbreviation for member in diagnoses)
            for diagnoses in SCORED_CLASSES
            for diagnosis in diagnoses
        }
    elif name == "challenge_2021_uncombined":
        names = {item.code: item.abbreviation for members in SCORED_CLASSES for item in members}
    elif name == "cpsc_2018":
        names = dict(CPSC_CLASSES)
    elif name == "all":
        names = {code: code for code in sorted(set(codes_seen), key=int)}
    else:
        raise ManifestError(f"--label-set {name!r}; expected one of {', '.join(LABEL_SETS)}")
    return LabelSet(name, tuple(dict.fromkeys(names.values())), partial(_positives, names))


def _positives(names: dict[str, str], row: RecordRow) -> Collection[str] | None:
    codes = row.labels.get("snomed")
    return {names[code] for code in codes if code in names} if codes else None
