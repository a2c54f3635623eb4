"""`ecg-fairseq describe` shows every field of what is registered; what we register is ours."""

import ast
import dataclasses
import enum
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

import pytest
import yaml

from ecg_fairseq.cli import describe
from ecg_fairseq.cli.composed_settings import SETTING_GROUPS, full_settings
from ecg_fairseq.cli.main import main

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def registered() -> list[describe.Registered]:
    return list(describe.registered())


class Shape(enum.Enum):
    ROUND = "round"
    SQUARE = "square"


@dataclass
class Inner:
    width: int = field(default=3, metadata={"help": "how  wide\n in cells"})


@dataclass
class Sample:
    nothing: int
    _name: str = "sample"
    data: str = field(default="???", metadata={"help": "a folder"})
    shape: Shape = Shape.ROUND
    rates: list[float] = field(default_factory=lambda: [0.5])
    limit: Optional[int] = None  # noqa: UP045 - configuration files are written this way
    seed: int = "${common.seed}"
    inner: Inner = field(default_factory=Inner)


def test_rows_of_a_configuration() -> None:
    rows = {row["name"]: row for row in describe.field_rows(Sample)}
    assert list(rows) == ["nothing", "data", "shape", "rates", "limit", "seed", "inner.width"]
    assert rows["data"]["default"] == rows["nothing"]["default"] == "required"
    assert rows["shape"]["default"] == "round"
    assert rows["shape"]["choices"] == ["round", "square"]
    assert rows["rates"]["default"] == [0.5]
    assert (rows["limit"]["type"], rows["limit"]["default"]) == ("Optional[int]", None)
    assert rows["seed"]["default"] == "${common.seed}"
    assert rows["inner.width"]["help"] == "how wide in cells"


def test_prints_type_default_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "cosine"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("lr_scheduler cosine ")
    assert "  warmup_updates: int = 0\n      warmup the learning rate" in out


def test_json_form(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "adam", "--json"]) == 0
    entry = json.loads(capsys.readouterr().out)
    assert (entry["kind"], entry["name"]) == ("optimizer", "adam")
    assert {"name", "type", "default", "choices", "help"} == set(entry["fields"][0])


def test_prints_a_whole_yaml_that_hydra_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", "--config", "three_kg_pretraining"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("# @package _global_\nhydra:\n  run:\n    dir: .\n")
    settings = yaml.safe_load(out)
    # Of the YAML itself, of the shared file that it names, of that one's own base, of every run.
    assert settings["task"]["inferred_3kg_config"] == {
        "angle": 45.0,
        "scale": 1.5,
        "mask_ratio": 0.5,
    }
    assert settings["task"]["mask_leads_condition"] == [4, 5]
    assert settings["criterion"] == {"_name": "3kg", "temp": 0.1}
    assert settings["common"]["user_dir"] == "${ecg_fairseq_dir:}"
    # fairseq's defaults are not what the YAML says.
    assert "tpu" not in settings["common"]
    assert main(["describe", "--config", "three_kg_pretraining", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == settings


def test_prints_a_yaml_of_the_user_with_every_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - shared/criterion/simclr\n  - _self_\n"
        "criterion:\n  temp: 0.3\n"
    )
    arguments = ["describe", "--config", "mine", "--config-dir", str(tmp_path)]
    assert main(arguments) == 0
    assert yaml.safe_load(capsys.readouterr().out)["criterion"] == {"_name": "simclr", "temp": 0.3}
    assert main([*arguments, "--with-defaults"]) == 0
    settings = yaml.safe_load(capsys.readouterr().out)
    assert settings["criterion"] == {"_name": "simclr", "temp": 0.3}
    assert settings["common"]["tpu"] is False
    (tmp_path / "mine.yaml").write_text("defaults:\n  - shared/task/absent\n  - _self_\n")
    assert main(arguments) == 1
    assert "mine.yaml cannot be composed" in capsys.readouterr().err


def test_the_groups_of_settings_are_fairseqs() -> None:
    from fairseq.dataclass.configs import FairseqConfig

    names = {field.name for field in dataclasses.fields(FairseqConfig)} - {"_name"}
    assert set(SETTING_GROUPS) == names


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "mine",
            "optimisation:\n  max_update: 3\n",
            "optimisation, .*did you mean optimization",
        ),
        ("mine", "seed: 1\n", "sets seed.*there are common, common_eval"),
        ("mine", "defaults:\n  - _self_\n  - parts/one\n", "sets parts.*@package _global_"),
        ("parts/one", "", "sets parts.*@package _global_"),
    ],
)
def test_what_training_would_refuse_is_refused(
    name: str, text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/one.yaml").write_text("dataset:\n  batch_size: 4\n")
    (tmp_path / "mine.yaml").write_text(text)
    words = ["describe", "--config", name, "--config-dir", str(tmp_path)]
    for more in ([], ["--json"]):
        assert main([*words, *more]) == 1
        assert re.search(message, capsys.readouterr().err)
    assert main([*words, "--with-defaults"]) == 1
    # With its first line the same part is taken, by both.
    part = tmp_path / "parts/one.yaml"
    part.write_text("# @package _global_\n" + part.read_text())
    capsys.readouterr()
    is_part = "parts" in name + text
    for more in ([], ["--with-defaults"]):
        assert main([*words, *more]) == (0 if is_part else 1)


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("defaults:\n  - parts/one\n  - _self_\n", "dataset.batch_size"),
        ("defaults:\n  - shared/run\n  - _self_\n", "dataset.ignore_unused_valid_subsets"),
        ("defaults:\n  - shared/task/ecg_pretraining\n  - _self_\n", "task"),
    ],
)
def test_settings_that_training_would_not_have_are_refused(
    text: str, lost: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/one.yaml").write_text("# @package _global_\ndataset:\n  batch_size: 4\n")
    (tmp_path / "mine.yaml").write_text(text)
    words = ["describe", "--config", "mine", "--config-dir", str(tmp_path)]
    assert main(words) == 1
    assert re.search(rf"mine\.yaml: .*{lost}.* before _self_", capsys.readouterr().err)
    # What training makes of it: fairseq's defaults.
    group, _, key = lost.partition(".")
    plain = full_settings("mine", tmp_path)
    assert not plain.get(group) or not plain[group].get(key)
    # Set in the YAML itself, or named behind it, all is well.
    head, tail = text.split("  - _self_\n")
    if group == "task":
        (tmp_path / "mine.yaml").write_text(text + "task:\n  _name: ecg_pretraining\n")
    else:
        first, second = head.rsplit("  - ", 1)
        (tmp_path / "mine.yaml").write_text(f"{first}  - _self_\n  - {second}{tail}")
    assert main(words) == 0


def test_a_yaml_that_is_not_there_names_those_that_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["describe", "--config", "no_such_yaml"]) == 1
    err = capsys.readouterr().err
    assert "there is no no_such_yaml.yaml" in err
    assert "there are: cmsc_pretraining, " in err
    assert main(["describe", "--config", "diagnosis_tinyy"]) == 1
    assert "did you mean diagnosis_tiny" in capsys.readouterr().err
    assert main(["describe", "--config", "diagnosis_tiny.yaml"]) == 1
    assert "did you mean diagnosis_tiny" in capsys.readouterr().err
    assert main(["describe", "adam", "--with-defaults"]) == 1
    assert "belong to --config" in capsys.readouterr().err


def test_a_yaml_is_printed_without_torch() -> None:
    code = (
        "import sys; from ecg_fairseq.cli.main import main; "
        "main(['describe', '--config', 'diagnosis']); "
        "sys.exit(bool({'torch', 'fairseq', 'numpy'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True)
    assert result.returncode == 0
    assert b"_name: ecg_classification" in result.stdout


def test_unknown_name_lists_ours(
    capsys: pytest.CaptureFixture[str], registered: list[describe.Registered]
) -> None:
    assert main(["describe", "no_such_thing"]) == 1
    err = capsys.readouterr().err
    assert "'no_such_thing'" in err
    for entry in registered:
        assert not entry.is_ours or f"{entry.kind} {entry.name}" in err


@pytest.mark.parametrize(
    ("kind", "name"),
    [("task", "ecg_qa"), ("model", "ecg_llm"), ("criterion", "ecg_answer_cross_entropy")],
)
def test_ours_are_registered_with_help_on_every_field(
    kind: str, name: str, registered: list[describe.Registered]
) -> None:
    entry = next(entry for entry in registered if (entry.kind, entry.name) == (kind, name))
    assert entry.config is not None
    # A default such as ${common.seed} says all there is to say.
    without_help = [
        row["name"]
        for row in describe.field_rows(entry.config)
        if not row["help"] and not str(row["default"]).startswith("${")
    ]
    assert not without_help


def names_in_our_source() -> set[tuple[str, str]]:
    """Return (kind, name) of every ``@register_...("name", ...)`` in the package."""
    found = set()
    for path in (PROJECT / "ecg_fairseq").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for call in getattr(node, "decorator_list", []):
                kind = ast.unparse(getattr(call, "func", call)).split(".")[-1]
                kind = kind.removesuffix("_architecture")
                if kind.startswith("register_") and isinstance(call, ast.Call):
                    found.add((kind.removeprefix("register_"), ast.literal_eval(call.args[0])))
    return found


def test_every_name_we_register_leads_to_our_class(
    registered: list[describe.Registered],
) -> None:
    # fairseq hands back its own class, without an error, for a task or model name that is taken.
    classes = {(entry.kind, entry.name): entry.cls.__module__ for entry in registered}
    ours = names_in_our_source() - {
        (kind, name) for kind, name in names_in_our_source() if "arch" in kind
    }
    assert ours
    foreign = {
        key: classes.get(key, "registered nowhere")
        for key in ours
        if not classes.get(key, "").startswith("ecg_fairseq.")
    }
    assert not foreign


@pytest.mark.parametrize("text", ["a: [1\n b:: 3\n", "\t- x"])
def test_a_broken_yaml_is_explained(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    words = ["describe", "--config", "broken", "--config-dir"]
    assert main([*words, str(tmp_path)]) == 1
    assert "broken.yaml cannot be composed" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "absent")]) == 1
    assert "is not a folder" in capsys.readouterr().err
