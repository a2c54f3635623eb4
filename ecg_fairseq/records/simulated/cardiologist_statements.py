"""What the datasets' cardiologists would have written about simulated findings."""

from ecg_fairseq.signal.simulator.findings import Findings

_RHYTHM_CODES = {"slow": "426177001", "normal": "426783006", "fast": "427084000"}
_REPOLARISATION_CODES = {
    "normal": (),
    "anterior_st_elevation": ("164865005", "164931005"),  # infarction, ST elevation
    "inferior_st_elevation": ("164865005", "164931005"),
    "st_depression": ("429622005",),
    "t_inversion": ("59931005",),
}
_COMPLETE_BLOCK_SOURCES = ("ptb-xl", "ningbo")
# The sources have different codes for a premature ventricular beat.
_PREMATURE_CODES = {"cpsc_2018": "164884008", "georgia": "17338001", "chapman_shaoxing": "17338001"}
_LUDB_RHYTHMS = {"slow": "Sinus bradycardia", "normal": "Sinus rhythm", "fast": "Sinus tachycardia"}
_LUDB_WALLS = {
    "anterior_st_elevation": "STEMI: anterior wall.",
    "inferior_st_elevation": "STEMI: inferior wall.",
    "st_depression": "Non-specific repolarization abnormalities: lateral wall.",
    "t_inversion": "Non-specific repolarization abnormalities: anterior wall.",
}


def snomed_codes(findings: Findings, source: str) -> list[str]:
    """Return SNOMED CT codes in the manner of one source of the PhysioNet challenge."""
    is_complete = source in _COMPLETE_BLOCK_SOURCES
    codes = ["164889003"] if findings.atrial_fibrillation else [_RHYTHM_CODES[findings.rate_class]]
    if findings.conduction == "left_bundle_block":
        codes.append("733534002" if source == "ningbo" else "164909002")
    if findings.conduction == "right_bundle_block":
        codes.append("713427006" if is_complete else "59118001")
    if findings.av_block:
        codes.append("270492004")
    if findings.left_axis:
        codes.append("39732003")
    if findings.voltage != "normal":
        codes.append("164873001" if findings.voltage == "hypertrophy" else "251146004")
    codes += _REPOLARISATION_CODES[findings.repolarisation]
    if findings.premature_beats:
        codes.append(_PREMATURE_CODES.get(source, "427172004"))
    return codes


def ludb_statements(findings: Findings) -> list[str]:
    """Return LUDB's lines; some end with a blank, as LUDB's do."""
    rhythm = _LUDB_RHYTHMS[findings.rate_class]
    rhythm = "Atrial fibrillation" if findings.atrial_fibrillation else rhythm
    axis = "left axis deviation" if findings.left_axis else "normal"
    lines = [f"Rhythm: {rhythm}.", f"Electric axis of the heart: {axis}. "]
    if findings.conduction != "normal":
        side = findings.conduction.partition("_")[0]
        lines.append(f"Complete {side} bundle branch block.")
    if findings.av_block:
        lines.append("I degree AV block.")
    if findings.voltage == "hypertrophy":
        lines.append("Left ventricular hypertrophy. ")
    if findings.premature_beats:
        lines.append("Ventricular extrasystole, type: single PVC.")
    if findings.repolarisation in _LUDB_WALLS:
        lines.append(_LUDB_WALLS[findings.repolarisation])
    return lines


def ptb_diagnosis(findings: Findings) -> tuple[str, str]:
    """Return PTB's reason for admission and the place of an acute infarction (``no`` for none)."""
    if findings.repolarisation.endswith("st_elevation"):
        return "Myocardial infarction", findings.repolarisation.partition("_")[0]
    if findings.conduction != "normal":
        return "Bundle branch block", "no"
    if findings.atrial_fibrillation:
        return "Dysrhythmia", "no"
    if findings.voltage == "hypertrophy":
        return "Hypertrophy", "no"
    return ("Healthy control" if findings.is_normal else "n/a"), "no"


def incart_findings(findings: Findings) -> str:
    """Return INCART's free line of findings; empty when there is nothing to say."""
    names = ["atrial fibrillation"] if findings.atrial_fibrillation else []
    names += ["PVCs"] if findings.premature_beats else []
    names += ["noise"] if findings.noise != "none" else []
    return ", ".join(names)
