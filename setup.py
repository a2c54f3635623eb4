"""Packaging of ecg_fairseq; scripts/setup.sh knows the order in which things are installed."""

from pathlib import Path

from setuptools import find_namespace_packages, find_packages, setup

CORE = [
    "numpy>=1.26",
    "scipy>=1.11",
    "torch>=2.6",
    "hydra-core>=1.3.4,<1.4",
    "omegaconf>=2.3,<2.4",
    "transformers>=5.0,<6",
    "peft>=0.18",
    "safetensors>=0.4",
    "wfdb>=4.3.1",
    "PyWavelets>=1.5",
    "soundfile>=0.12",
    "h5py>=3.10",
    "pandas>=2.1",
    "matplotlib>=3.8",
    "tqdm>=4.66",
]

# What fairseq-fixed needs at run time and CORE does not name. fairseq-fixed itself is no extra:
# its own list pins a hydra-core with a known hole and adds an unused torchaudio, so no resolver can
# take it beside CORE. scripts/setup.sh installs it with --no-deps and --no-build-isolation (an
# isolated build fetches a second torch). Never name the distribution `fairseq`: it owns the same
# import package and does not run on Python 3.11.
FAIRSEQ_NEEDS = ["bitarray", "cffi", "packaging", "regex", "sacrebleu", "scikit-learn"]

EXTRAS = {
    "fairseq-needs": FAIRSEQ_NEEDS,
    "metrics": ["sacrebleu>=2.4", "rouge-score>=0.1.2", "nltk>=3.9", "scikit-learn>=1.4"],
    "dicom": ["pydicom>=2.4"],
    "bertscore": ["bert-score>=0.3.13"],
    "dev": [
        "pytest>=8",
        "pytest-xdist>=3.6",
        "hypothesis>=6.100",
        "psutil>=5.9",
        "ruff==0.17.5",
        "mypy==2.4.1",
    ],
}

setup(
    name="ecg-fairseq",
    version="0.1.0",
    description="ECG language modelling on fairseq: ECG-Byte, ECG-FM, HeartLLM and more",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    python_requires=">=3.11,<3.14",
    packages=find_packages(include=["ecg_fairseq", "ecg_fairseq.*"])
    + find_namespace_packages(include=["hydra_plugins.*"]),
    package_data={
        "ecg_fairseq": [
            "config/**/*.yaml",
            "networks/language_model/layouts/*.yaml",
            "records/reports/tables/*.json",
            "py.typed",
        ]
    },
    install_requires=CORE,
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ecg-fairseq = ecg_fairseq.cli.main:main"]},
)
