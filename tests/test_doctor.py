"""The doctor finds what is missing, and works where it is missing."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from ecg_fairseq.cli import doctor
from ecg_fairseq.cli.main import main

PROJECT = Path(__file__).resolve().parents[1]

# Behaves as if the named packages were not installed, metadata included.
BLOCKED_DOCTOR = """
import importlib.metadata, sys

blocked = set(sys.argv[1].split(","))
distributions = set(sys.argv[2].split(","))
version = importlib.metadata.version

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

def hidden_version(name):
    if name in distributions:
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)

sys.meta_path.insert(0, Block())
importlib.metadata.version = hidden_version
from ecg_fairseq.cli.main import main
sys.exit(main(["doctor", *sys.argv[3:]]))
"""


def run_doctor(modules: str, distributions: str, *options: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED_DOCTOR, modules, distributions, *options],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )


def by_name(findings: list[doctor.Finding]) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in findings}


@pytest.mark.parametrize(
    ("modules", "distributions", "missing"),
    [
        ("torch", "torch", "torch"),
        ("fairseq,fairseq_cli", "fairseq-fixed", "fairseq"),
    ],
)
def test_names_what_is_missing(modules: str, distributions: str, missing: str) -> None:
    result = run_doctor(modules, distributions, "--json")
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    report = json.loads(result.stdout)
    assert report["ok"] is False
    finding = {entry["name"]: entry for entry in report["findings"]}[missing]
    assert finding["state"] == "PROBLEM"
    assert finding["value"] == "not installed"
    assert "scripts/setup.sh" in finding["advice"]


def test_works_on_a_python_with_nothing_installed() -> None:
    result = subprocess.run(
        [sys.executable, "-S", "-m", "ecg_fairseq.cli.main", "doctor"],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[-1].endswith("to mend")
    for name in ("torch", "fairseq", "numpy", "hydra-core", "transformers", "wfdb"):
        assert any(line.split()[:2] == ["PROBLEM", name] for line in lines), name


def test_without_rust_core_says_that_the_twin_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ecg_bpe", None)  # makes its import fail
    finding = doctor.check_compiled_core()
    assert finding.state == doctor.NOTE
    assert "Python twin" in finding.value


def test_looks_at_every_requirement_of_the_package() -> None:
    tree = ast.parse((PROJECT / "setup.py").read_text())
    lists = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
    }
    required = {re.split(r"[<>=!]", requirement)[0] for requirement in lists["CORE"]}
    assert set(doctor.REQUIRED) | {"torch", "hydra-core", "omegaconf"} == required


def test_package_that_does_not_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    finding = doctor.check_package("peft", "peft")
    assert finding.state == doctor.PROBLEM
    assert "does not import: ModuleNotFoundError" in finding.value
    assert doctor.check_package("peft", "peft", "one feature").state == doctor.NOTE


def test_all_is_well_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = [entry["name"] for entry in report["findings"]]
    assert len(names) == len(set(names))
    assert {"Python", "torch", "devices", "torch.load", "fairseq", "WordNet"} <= set(names)


def hide_distributions(monkeypatch: pytest.MonkeyPatch, installed: dict[str, str]) -> None:
    monkeypatch.setattr(doctor, "installed_version", installed.get)


def test_vanilla_fairseq_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_distributions(monkeypatch, {"fairseq": "0.12.2"})
    monkeypatch.setattr(doctor, "attempt_import", lambda name: (None, "ValueError: mutable"))
    finding = by_name(list(doctor.check_fairseq()))["fairseq"]
    assert finding.state == doctor.PROBLEM
    assert "vanilla" in finding.value
    assert "pip uninstall" in finding.advice
    assert "--no-build-isolation --no-deps fairseq-fixed" in finding.advice


def test_vanilla_over_fixed_is_a_problem_even_if_it_imports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hide_distributions(monkeypatch, {"fairseq": "0.12.2", "fairseq-fixed": "0.12.3.1"})
    monkeypatch.setattr(doctor, "attempt_import", lambda name: (SimpleNamespace(), ""))
    assert by_name(list(doctor.check_fairseq()))["fairseq"].state == doctor.PROBLEM


def test_missing_compiled_part_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_distributions(monkeypatch, {"fairseq-fixed": "0.12.3.1"})
    found = {"fairseq": (SimpleNamespace(), "")}
    monkeypatch.setattr(
        doctor, "attempt_import", lambda name: found.get(name, (None, "ImportError: no"))
    )
    findings = by_name(list(doctor.check_fairseq()))
    assert findings["fairseq"].state == doctor.OK
    assert findings["fairseq.data.data_utils_fast"].state == doctor.PROBLEM


@pytest.mark.parametrize(
    ("version", "variable", "state"),
    [
        ("2.5.1", "", doctor.PROBLEM),
        ("2.6.0", "", doctor.OK),
        ("2.13.0+cu130", "", doctor.OK),
        ("2.14.0a0+git1", "", doctor.OK),
        ("2.13.0", "1", doctor.NOTE),
    ],
)
def test_torch_load_facts(
    version: str, variable: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", variable)
    assert doctor.check_torch_load(SimpleNamespace(__version__=version)).state == state


def test_other_hydra_version_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_distributions(monkeypatch, {"hydra-core": "1.0.7", "omegaconf": "2.3.0"})
    monkeypatch.setattr(doctor, "attempt_import", lambda name: (SimpleNamespace(), ""))
    findings = by_name(list(doctor.check_configuration_packages()))
    assert findings["hydra-core"].state == doctor.NOTE
    assert "hydra-core>=1.3.4,<1.4" in findings["hydra-core"].advice
    assert findings["omegaconf"].state == doctor.OK


@pytest.mark.parametrize(
    ("version", "state"),
    [("1.3.3", doctor.NOTE), ("1.3.4", doctor.OK), ("1.3.10", doctor.OK), ("1.4.0", doctor.NOTE)],
)
def test_only_hydras_that_are_known_to_serve_are_fine(
    version: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hide_distributions(monkeypatch, {"hydra-core": version, "omegaconf": "2.3.1"})
    monkeypatch.setattr(doctor, "attempt_import", lambda name: (SimpleNamespace(), ""))
    assert by_name(list(doctor.check_configuration_packages()))["hydra-core"].state == state


def test_doctor_and_packaging_name_the_same_versions() -> None:
    packaging = (PROJECT / "setup.py").read_text()
    for name, (_, first, end) in doctor.CONFIGURATION_PACKAGES.items():
        wanted = f"{name}>={'.'.join(map(str, first))},<{'.'.join(map(str, end))}"
        assert f'"{wanted}"' in packaging
