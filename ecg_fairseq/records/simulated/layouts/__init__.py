"""Simulated cohorts written as each dataset publishes its files.

One module a layout, each with ``write_layout(folder, settings, workers)``: so that every
dataset of ``ecg-fairseq prepare`` can be tried, and tested, without a download.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError
from ecg_fairseq.records.simulated.cohort import CohortSettings

# Folder to write, what to simulate, processes; returns figures for the last line of output.
WriteLayout = Callable[[Path, CohortSettings, int], dict[str, Any]]
# name of a layout -> module of this folder
LAYOUTS: dict[str, str] = {
    "ptb_xl": "ptb_xl",
    "mimic_iv_ecg": "mimic_iv_ecg",
    "physionet_2021": "physionet_2021",
    "ludb": "ludb",
    "ptb": "ptb",
    "incart": "incart",
    "code_15": "code_15",
    "ptb_xl_plus": "ptb_xl_plus",
    "uk_biobank": "uk_biobank",
    "heartllm": "heartllm",
}


def layout_writer(name: str) -> WriteLayout:
    """Return the function that writes a layout.

    Raises:
        EcgError: there is no layout of that name.
    """
    if name not in LAYOUTS:
        raise EcgError(f"--layout {name!r}; expected one of {', '.join(LAYOUTS)}")
    module = importlib.import_module(f"{__name__}.{LAYOUTS[name]}")
    writer: WriteLayout = module.write_layout
    return writer
