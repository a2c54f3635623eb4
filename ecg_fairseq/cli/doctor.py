"""``ecg-fairseq doctor``: what is installed, what is wrong, and what to type about it.

Every package is imported inside its own check, so the doctor works where torch, fairseq or anything
else is missing or broken; that is what it is for.
"""

import argparse
import importlib
import importlib.metadata
import io
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from types import ModuleType

OK, NOTE, PROBLEM = "ok", "note", "PROBLEM"
SET_UP = "bash scripts/setup.sh"
FAIRSEQ_DISTRIBUTION = "fairseq-fixed"
FAIRSEQ_RECIPE = (
    "pip uninstall -y fairseq fairseq-fixed; pip install setuptools wheel cython numpy; "
    "pip install --no-build-isolation --no-deps fairseq-fixed==0.12.3.1"
)
# What setup.py requires besides torch, hydra-core and omegaconf: distribution -> import name.
REQUIRED = {
    "numpy": "numpy",
    "scipy": "scipy",
    "pandas": "pandas",
    "PyWavelets": "pywt",
    "wfdb": "wfdb",
    "matplotlib": "matplotlib",
    "transformers": "transformers",
    "peft": "peft",
    "safetensors": "safetensors",
    "soundfile": "soundfile",
    "h5py": "h5py",
    "tqdm": "tqdm",
}
# What fairseq is configured with: distribution -> (import name, first version, end of versions).
CONFIGURATION_PACKAGES = {
    "hydra-core": ("hydra", (1, 3, 4), (1, 4)),
    "omegaconf": ("omegaconf", (2, 3), (2, 4)),
}
# Packages of one feature each: distribution -> (import name, the feature).
OPTIONAL = {
    "rouge-score": ("rouge_score", "ROUGE scores (pip install 'ecg-fairseq[metrics]')"),
    "nltk": ("nltk", "METEOR scores (pip install 'ecg-fairseq[metrics]')"),
}


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        value: what was found, in words.
        state: ``ok``, ``note`` (works, but worth knowing) or ``PROBLEM``.
        advice: what to type or do; empty when nothing needs doing.
    """

    name: str
    value: str
    state: str = OK
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Print every finding; return 1 when something needs mending."""
    findings = list(examine())
    num_problems = sum(finding.state == PROBLEM for finding in findings)
    if arguments.json:
        report = {"ok": num_problems == 0, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(report, indent=2))
        return int(num_problems > 0)
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        print(f"{finding.state:7}  {finding.name:{width}}  {finding.value}")
        if finding.advice:
            print(f"{'':9}{'':{width}}  -> {finding.advice}")
    print("all is well" if num_problems == 0 else f"{num_problems} to mend")
    return int(num_problems > 0)


def examine() -> Iterator[Finding]:
    """Yield the findings, basics first."""
    yield check_python()
    yield from check_torch()
    yield from check_fairseq()
    yield from check_configuration_packages()
    for distribution, module in REQUIRED.items():
        yield check_package(distribution, module)
    for distribution, (module, feature) in OPTIONAL.items():
        yield check_package(distribution, module, feature)
    yield check_compiled_core()
    yield check_wordnet()


def check_python() -> Finding:
    """Check the interpreter's version."""
    value = f"{platform.python_version()} ({sys.executable})"
    if sys.version_info < (3, 11):  # noqa: UP036 - pip is not what started us everywhere
        return Finding("Python", value, PROBLEM, f"install Python 3.11 or newer, then {SET_UP}")
    return Finding("Python", value)


def attempt_import(module: str) -> tuple[ModuleType | None, str]:
    """Import a module quietly; return it, or None and the reason in one line.

    Any exception counts: a broken binary package raises OSError, vanilla fairseq a ValueError.
    """
    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            return importlib.import_module(module), ""
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        return None, f"{type(error).__name__}: {lines[0]}"


def installed_version(distribution: str) -> str | None:
    """Return a distribution's version, or None when it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def check_package(distribution: str, module: str, feature: str = "") -> Finding:
    """Check that a package imports; a missing one is a problem unless it serves one feature."""
    imported, reason = attempt_import(module)
    version = installed_version(distribution)
    if imported is not None:
        return Finding(distribution, version or "imports, version unknown")
    value = "not installed" if version is None else f"{version} does not import: {reason}"
    if feature:
        return Finding(distribution, value, NOTE, f"needed for {feature}")
    return Finding(distribution, value, PROBLEM, f"{SET_UP}   (or: pip install {distribution})")


def check_torch() -> Iterator[Finding]:
    """Check torch, the devices it sees, and how its ``torch.load`` treats checkpoints."""
    torch, reason = attempt_import("torch")
    if torch is None:
        version = installed_version("torch")
        value = "not installed" if version is None else f"{version} does not import: {reason}"
        yield Finding("torch", value, PROBLEM, f"{SET_UP}   (ECG_TORCH=torch==2.13.0 picks one)")
        return
    if torch.version.cuda:
        build = f"CUDA {torch.version.cuda} build"
    else:
        build = f"ROCm {torch.version.hip} build" if torch.version.hip else "CPU build"
    yield Finding("torch", f"{torch.__version__}, {build}")
    yield Finding("devices", describe_devices(torch))
    yield check_torch_load(torch)


def describe_devices(torch: ModuleType) -> str:
    """Return the accelerators' names and the number of processor threads torch uses."""
    threads = f"{torch.get_num_threads()} CPU threads"
    if not torch.cuda.is_available():
        return f"no GPU; {threads}"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    bf16 = "bf16" if torch.cuda.is_bf16_supported() else "no bf16"
    return f"{', '.join(names)} ({bf16}); {threads}"


def check_torch_load(torch: ModuleType) -> Finding:
    """Say whether ``torch.load`` refuses pickled code, which fairseq leaves to torch's default.

    fairseq never passes ``weights_only``; torch's default has been True since 2.6 (fact sheet
    fairseq-modern, section 6).
    """
    name = "torch.load"
    # The local part (2.13.0+cpu) and pre-release letters do not matter here.
    major, minor = (int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if (major, minor) < (2, 6):
        return Finding(name, "runs pickled code by default", PROBLEM, f"{SET_UP} (torch >= 2.6)")
    if os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "").lower() in ("1", "y", "yes", "true"):
        advice = "unset TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD unless every checkpoint is trusted"
        return Finding(name, "runs pickled code: weights_only is switched off", NOTE, advice)
    return Finding(
        name,
        "weights_only=True by default: our checkpoints load, those with pickled code do not; "
        "several processes need checkpoint.load_checkpoint_on_all_dp_ranks=true (as our YAMLs say)",
    )


def check_fairseq() -> Iterator[Finding]:
    """Check which distribution provides fairseq, that it imports, and its compiled part."""
    fixed, vanilla = installed_version(FAIRSEQ_DISTRIBUTION), installed_version("fairseq")
    fairseq, reason = attempt_import("fairseq")
    if vanilla is not None:
        both = f" over {FAIRSEQ_DISTRIBUTION} {fixed}" if fixed else ""
        value = (
            f"the distribution named fairseq, {vanilla}{both}, is the vanilla one: it does not run "
            "on Python 3.11 (mutable dataclass defaults) and pins hydra-core below 1.1"
        )
        yield Finding("fairseq", value, PROBLEM, FAIRSEQ_RECIPE)
    elif fixed is None and fairseq is None:
        yield Finding("fairseq", "not installed", PROBLEM, f"{SET_UP}   (or: {FAIRSEQ_RECIPE})")
    elif fairseq is None:
        value = f"{FAIRSEQ_DISTRIBUTION} {fixed} does not import: {reason}"
        yield Finding("fairseq", value, PROBLEM, SET_UP)
    elif fixed is None:
        value = f"imports from {fairseq.__file__}, which no installed distribution owns"
        yield Finding("fairseq", value, NOTE, f"tested with {FAIRSEQ_DISTRIBUTION} 0.12.3.1")
    else:
        yield Finding("fairseq", f"{FAIRSEQ_DISTRIBUTION} {fixed}")
    if fairseq is not None:
        yield check_compiled_fairseq()


def check_compiled_fairseq() -> Finding:
    """Check fairseq's only compiled part that training needs: the one that makes batches."""
    module, reason = attempt_import("fairseq.data.data_utils_fast")
    if module is not None:
        return Finding("fairseq.data.data_utils_fast", "compiled part imports")
    value = f"does not import, so no batch can be made: {reason}"
    return Finding("fairseq.data.data_utils_fast", value, PROBLEM, FAIRSEQ_RECIPE)


def check_configuration_packages() -> Iterator[Finding]:
    """Check hydra and omegaconf against the versions that fairseq runs with here."""
    for distribution, (module, first, end) in CONFIGURATION_PACKAGES.items():
        finding = check_package(distribution, module)
        is_known = first <= _first_numbers(finding.value, len(first)) and (
            _first_numbers(finding.value, len(end)) < end
        )
        if finding.state == OK and not is_known:
            wanted = f"{distribution}>={_dotted(first)},<{_dotted(end)}"
            finding = Finding(distribution, finding.value, NOTE, f"pip install '{wanted}'")
        yield finding


def _first_numbers(version: str, count: int) -> tuple[int, ...]:
    """Return the first numbers of a version (``1.3.8`` -> (1, 3, 8))."""
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split(".")[:count])


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def check_compiled_core() -> Finding:
    """Say whether the tokenizer runs on the compiled core or on its Python twin."""
    name = "ecg_bpe"
    module, reason = attempt_import("ecg_bpe")
    if module is not None:
        return Finding(name, f"compiled tokenizer core {installed_version(name) or ''}".rstrip())
    advice = f"install Rust and run {SET_UP} for the fast one; the results are the same"
    version = installed_version(name)
    found = "is not installed" if version is None else f"{version} does not import ({reason})"
    value = f"the compiled core {found}: the slower Python twin of the tokenizer serves"
    return Finding(name, value, NOTE, advice)


def check_wordnet() -> Finding:
    """Say whether METEOR can match synonyms, which needs the WordNet corpus of nltk."""
    data, _ = attempt_import("nltk.data")
    if data is None:
        return Finding("WordNet", "nltk is missing", NOTE, "pip install 'ecg-fairseq[metrics]'")
    for resource in ("corpora/wordnet.zip", "corpora/wordnet"):
        try:
            data.find(resource)
        except LookupError:
            continue
        return Finding("WordNet", "present: METEOR matches synonyms")
    advice = "python -m nltk.downloader wordnet   (only if METEOR shall match synonyms)"
    return Finding("WordNet", "absent: METEOR matches words and stems only", NOTE, advice)
