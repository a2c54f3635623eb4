"""What decides a simulated cohort's bytes, and which folder holds which cohort."""

from dataclasses import asdict, dataclass
from pathlib import Path

from ecg_fairseq.errors import EcgError
from ecg_fairseq.files import read_json, remove_incomplete, write_json
from ecg_fairseq.folder_lock import is_lock
from ecg_fairseq.records.preparation.raw_dataset import SIMULATION_FILE
from ecg_fairseq.records.questions.from_labels import QUESTION_TYPES
from ecg_fairseq.records.simulated.reports import DEFAULT_REPORTS, REPORT_STYLES
from ecg_fairseq.signal.simulator.difficulty import DIFFICULTIES

SIMULATOR_VERSION = 2  # 2: NORM never together with a rate that excludes it
LOW_RATE_HZ = 100
MARKER = SIMULATION_FILE
# PTB-XL's headers write the augmented leads in capitals.
HEADER_LEADS = ("I", "II", "III", "AVR", "AVL", "AVF", "V1", "V2", "V3", "V4", "V5", "V6")
_USUAL_FS_HZ = 500
# Layouts that hold PTB-XL's table of reports.
REPORT_LAYOUTS = ("ptb_xl", "ptb_xl_plus", "heartllm")


@dataclass(frozen=True)
class CohortSettings:
    """What decides a cohort's bytes.

    Attributes:
        patients: number of patients; each has one to three recordings.
        seed: of everything random.
        fs_hz: rate of the files below ``records500`` (``records100`` always holds 100 Hz).
        question_types: ECG-QA question types to build.
        difficulty: ``standard``, or ``hard``, whose findings overlap at their borders.
        reports: of ``reports.REPORT_STYLES``: language and wording of PTB-XL's reports.
    """

    patients: int
    seed: int = 1
    fs_hz: int = 500
    question_types: tuple[str, ...] = QUESTION_TYPES
    difficulty: str = "standard"
    reports: str = DEFAULT_REPORTS

    def validate(self) -> None:
        """Refuse impossible settings with an EcgError."""
        if self.patients < 1:
            raise EcgError(f"--patients {self.patients}: a cohort needs at least one patient")
        if self.seed < 0:
            raise EcgError(f"--seed {self.seed}: give a whole number of 0 or more")
        if self.fs_hz % LOW_RATE_HZ or not LOW_RATE_HZ <= self.fs_hz <= 2000:
            raise EcgError(
                f"--fs {self.fs_hz}: give a multiple of {LOW_RATE_HZ} Hz from {LOW_RATE_HZ} to 2000"
            )
        if self.difficulty not in DIFFICULTIES:
            raise EcgError(
                f"--difficulty {self.difficulty}: expected one of {', '.join(DIFFICULTIES)}"
            )
        if self.reports not in REPORT_STYLES:
            raise EcgError(f"--reports {self.reports}: expected one of {', '.join(REPORT_STYLES)}")
        unknown = [name for name in self.question_types if name not in QUESTION_TYPES]
        if unknown:
            raise EcgError(
                f"unknown question types {', '.join(unknown)}; known are "
                f"{', '.join(QUESTION_TYPES)}"
            )


def claim_folder(folder: Path, layout: str, settings: CohortSettings) -> None:
    """Write down what the folder holds; refuse one that holds anything else.

    Args:
        layout: its name; the rates of its files are the dataset's own.

    Raises:
        EcgError: bad settings, a rate was asked for, or the folder is taken.
    """
    settings.validate()
    if settings.fs_hz != _USUAL_FS_HZ:
        raise EcgError(f"--fs {settings.fs_hz}: layout {layout} has rates of its own; leave it out")
    if settings.reports != DEFAULT_REPORTS and layout not in REPORT_LAYOUTS:
        raise EcgError(
            f"--reports {settings.reports}: layout {layout} has reports of its own, or none; leave "
            f"it out, or choose one of {', '.join(REPORT_LAYOUTS)}"
        )
    wanted = {
        "format": "ecg_fairseq.simulation",
        "version": SIMULATOR_VERSION,
        "layout": layout,
        "patients": settings.patients,
        "seed": settings.seed,
        "difficulty": settings.difficulty,
        **_report_style(settings),
    }
    marker = folder / MARKER
    if marker.is_file():
        found = read_json(marker, EcgError, "description of the simulated dataset")
        if found != wanted:
            raise EcgError(
                f"{folder} holds a simulated dataset of other settings ({found}; wanted {wanted}); "
                "choose another --out or remove that folder"
            )
    elif folder.exists() and (not folder.is_dir() or _holds_files(folder)):
        raise EcgError(f"{folder} is not an empty folder; choose another one for --out")
    else:
        write_json(marker, wanted)


def claim_ptb_xl_folder(folder: Path, settings: CohortSettings) -> None:
    """Write down whose cohort PTB-XL's layout holds; refuse a folder that holds something else.

    Raises:
        EcgError: the folder is taken, or cannot be made.
    """
    wanted = {"format": "ecg_fairseq.simulation", "version": SIMULATOR_VERSION}
    wanted |= asdict(settings) | {"question_types": list(settings.question_types)}
    del wanted["reports"]
    wanted |= _report_style(settings)
    marker = folder / MARKER
    if marker.exists():
        found = read_json(marker, EcgError, "description of the simulated cohort")
        if found != wanted:
            raise EcgError(
                f"{folder} holds a cohort of other settings ({found}; wanted {wanted}); choose "
                "another --out or remove that folder"
            )
        return
    if (folder / "ptbxl_database.csv").exists():
        raise EcgError(
            f"{folder} holds a dataset that is not simulated; choose another folder for --out"
        )
    make_folder(folder)
    write_json(marker, wanted)


def _report_style(settings: CohortSettings) -> dict[str, str]:
    """Return what a marker says of the reports: nothing where they are worded as by default."""
    return {} if settings.reports == DEFAULT_REPORTS else {"reports": settings.reports}


def _holds_files(folder: Path) -> bool:
    """Say whether a folder holds more than its lock, after what a killed run left is removed."""
    remove_incomplete(folder, MARKER)
    return not all(is_lock(path) for path in folder.iterdir())


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; EcgError where that is not possible."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EcgError(
            f"cannot make the folder {folder}: {error.strerror or error}; choose another --out"
        ) from error
