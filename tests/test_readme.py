"""README's and the examples' commands run as printed; links exist; every verb is mentioned.

Fenced bash and Python blocks run in order in one folder, on a small simulated cohort.
``SMALL_FORMS`` shrinks what would take long, ``NOT_RUN`` names what is not run and why; everything
else runs, so a new command is tested from the day it is written.
"""

import ast
import importlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from toy_encoders import save_encoder
from warm_processes import WarmProcess

from ecg_fairseq.cli.composed_settings import composed_settings
from ecg_fairseq.cli.main import VERBS, main
from ecg_fairseq.networks.ecg_fm.convert import export_checkpoint

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "ecg_fairseq"
EXAMPLES = sorted(path.relative_to(PROJECT) for path in PROJECT.glob("examples/*/README.md"))
DOCUMENTS = ("README.md", "docs/datasets.md", *map(str, EXAMPLES))
LINK = re.compile(r"\]\((?!https?://)([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
COMMENT = re.compile(r"\s{2,}#.*$", re.MULTILINE)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

NOT_RUN = {
    "bash scripts/setup.sh": "installs packages; tests/test_setup_script.py has its parts",
    "bash scripts/test.sh": "would run these tests within themselves",
    "source .venv/bin/activate": "the tests' PATH says the same",
    'torchrun --standalone --nproc_per_node=4 "$(command -v fairseq-hydra-train)" '
    "--config-name ecg_byte_qa task.data=manifest": "needs GPUs (nccl) and a gated hub model",
    "bash scripts/quickstart.sh": "ten minutes; its form with --smoke runs",
    "bash scripts/quickstart.sh --ptb-xl ptb-xl --ecg-qa ecg-qa --out ptb_out": "only its manifest "
    "differs from --smoke; test_quickstart_prepares_real_recordings makes that",
    'fairseq-generate ecg_byte_manifest --user-dir "$(ecg-fairseq user-dir)" --task ecg_qa --path '
    "ecg_byte_checkpoints/checkpoint_best.pt --gen-subset test --results-path ecg_byte_blind "
    "--blind --skip-closed-set": "README.md's blind run is the same command on another folder",
}
ONE_UPDATE = (
    "model.hidden_size=32 model.num_layers=1 model.num_heads=2 model.num_key_value_heads=2 "
    "model.intermediate_size=64 optimization.max_update=2 lr_scheduler.warmup_updates=1 "
    "dataset.batch_size=2 dataset.num_workers=0 dataset.validate_interval_updates=2 "
    "checkpoint.save_interval_updates=2"
)
ON_A_CPU = (
    "model.llm=tiny task.text_tokenizer=corpus model.base_dtype=float32 task.autocast=none "
    "distributed_training.distributed_world_size=1"
)
# ECG-FM's networks, two updates; a finetuned one takes the pretrained one's sizes.
ECG_FM_UPDATE = (
    "optimization.max_update=2 dataset.batch_size=4 dataset.num_workers=0 "
    "distributed_training.distributed_world_size=1"
)
ECG_FM_SIZES = (
    "model.encoder_layers=1 model.encoder_embed_dim=32 model.encoder_ffn_embed_dim=48 "
    "model.encoder_attention_heads=4 model.conv_pos=16 model.conv_pos_groups=4"
)
VALIDATE_SOON = "dataset.validate_interval_updates=2 checkpoint.save_interval_updates=2"
FEW_QUESTIONS = "--max-questions train=40,valid=4,test=40"
# (pattern, what to put in its place, what to append): all that match apply, in order.
SMALL_FORMS = (
    (r"^bash scripts/quickstart\.sh", f"{sys.executable} scripts/quickstart.py", "--smoke"),
    (r"^python docs/answered_ecg\.py quickstart_out", "python docs/answered_ecg.py smoke_out", ""),
    (r"--config-name ecg_byte_qa_tiny", None, f"{ONE_UPDATE} lr_scheduler.lr_period_updates=2"),
    (r"--config-name ecg_byte_qa(?!_tiny)", None, f"{ONE_UPDATE} {ON_A_CPU}"),
    (r"--config-name (w2v_cmsc_rlm|diagnosis|identification)", None, ECG_FM_UPDATE),
    (r"--config-name w2v_cmsc_rlm", None, f"{ECG_FM_SIZES} optimization.update_freq=[1]"),
    (r"--config-name w2v_cmsc_rlm_tiny", None, "lr_scheduler.warmup_updates=1"),
    (r"--config-name w2v_cmsc_rlm_tiny", None, "lr_scheduler.lr_period_updates=2"),
    (r"--config-name \w+_tiny task\.data=(simulated|fm)", None, VALIDATE_SOON),
    (r"^ecg-fairseq simulate --out simulated_ecgs", None, "--patients 40 --workers 1"),
    (r"^ecg-fairseq probe", None, "--seeds 1 --resamples 20"),
    (r"^python scripts/saliency_truth\.py", None, "--records 2"),
    (r"^python manifests/ecg_qa\.py", None, FEW_QUESTIONS),
    (r"^fairseq-generate", None, "--max-new-tokens 4"),
    (r"^ecg-fairseq score", None, "--resamples 20"),
    (r"--blind ecg_byte_blind/generate-test\.txt", "", ""),
)


@dataclass(frozen=True)
class Step:
    """One bash command or one Python program of a document."""

    document: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}: {self.text}"


def steps_of(document: str) -> list[Step]:
    """Return what a document tells the reader to type, in order."""
    text = (PROJECT / document).read_text(encoding="utf-8")
    steps = []
    for match in FENCE.finditer(text):
        language, body = match[1], match[2]
        line = text.count("\n", 0, match.start()) + 2
        if language == "python":
            steps.append(Step(document, line, language, body))
        elif language == "bash":
            commands = COMMENT.sub("", body).replace("\\\n", " ").splitlines()
            shown = (" ".join(command.split()) for command in commands)
            steps += [Step(document, line, language, command) for command in shown if command]
    return steps


ALL_STEPS = [step for document in DOCUMENTS for step in steps_of(document)]


def small_form(command: str) -> str:
    """Return the command that is run in place of the printed one."""
    small = command
    for pattern, replacement, appended in SMALL_FORMS:
        if re.search(pattern, command):
            small = re.sub(pattern, replacement, small) if replacement is not None else small
            small = f"{small} {appended}"
    return small


@dataclass
class Reader:
    """Types commands in one folder; the same command is typed once."""

    folder: Path
    outputs: dict[str, str] = field(default_factory=dict)
    started: set[str] = field(default_factory=set)

    def follow(self, document: str) -> None:
        """Run a document from its first to its last step."""
        for step in steps_of(document):
            if step.text not in NOT_RUN and step.text not in self.outputs:
                self.outputs[step.text] = self._run(step)

    def _run(self, step: Step) -> str:
        if step.text.startswith("ecg-fairseq "):
            return self._run_verb(step)
        words = [sys.executable, "-c", step.text]
        if step.language == "bash":
            words = ["bash", "-euo", "pipefail", "-c", small_form(step.text)]
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "HF_HUB_OFFLINE": "1",
        }
        program = step.text.split()[0]
        command = small_form(step.text).replace('"$(ecg-fairseq user-dir)"', str(PACKAGE))
        needs_shell = re.search(r"[|<>;&$]", command) is not None
        if program.startswith("fairseq-") and program in self.started and not needs_shell:
            # Typed in a shell the first time; then that saves importing torch.
            name, *rest = shlex.split(command)
            script = str(Path(sys.executable).parent / name)
            result = WarmProcess([script, *rest], self.folder, environment).wait(300)
        else:
            result = subprocess.run(
                words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300
            )
        self.started.add(program)
        said = f"{result.stdout[-2000:]}\n{result.stderr[-3000:]}"
        assert result.returncode == 0, f"{step}\nrun as {words}\n{said}"
        return result.stdout

    def _run_verb(self, step: Step) -> str:
        """Run the console's entry point in this process, which saves importing torch each time."""
        command = small_form(step.text)
        stdout, stderr = io.StringIO(), io.StringIO()
        with chdir(self.folder), redirect_stdout(stdout), redirect_stderr(stderr):
            status = main(shlex.split(command)[1:])
        assert status == 0, f"{step}\nrun as {command}\n{stdout.getvalue()}\n{stderr.getvalue()}"
        return stdout.getvalue()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    """A folder that looks like the clone of a reader with data."""
    folder = tmp_path_factory.mktemp("clone")
    for name in ("manifests", "scripts", "docs"):
        (folder / name).symlink_to(PROJECT / name)
    cohort = folder / "ptb-xl"
    words = ["simulate", "--out", str(cohort), "--patients", "30", "--seed", "1", "--workers", "1"]
    assert main(words) == 0
    (cohort / "ecg-qa").rename(folder / "ecg-qa")
    write_own_data(folder, cohort)
    # Stands for ECG-FM's released classifier, in its layout and under its name.
    save_encoder(folder / "small.pt", num_labels=17)
    export_checkpoint(folder / "small.pt", folder / "mimic_iv_ecg_finetuned.pt")
    return Reader(folder)


def write_own_data(folder: Path, cohort: Path) -> None:
    """Write the files that "your own data" starts from: an array, WFDB records, tables."""
    rng = np.random.default_rng(0)
    count = 40
    np.save(folder / "ecgs.npy", rng.normal(size=(count, 12, 5000)).astype(np.float32))
    (folder / "my_ecgs").mkdir()
    headers = sorted((cohort / "records500").rglob("*.hea"))
    for header in headers:
        for path in header.parent.glob(f"{header.stem}.*"):
            shutil.copy(path, folder / "my_ecgs")
    for header in headers[:1]:  # the record that is asked about goes by a short name
        signal = header.with_suffix(".dat").name
        text = header.read_text().replace(header.stem, "00001").replace(signal, "00001.dat")
        (folder / "my_ecgs/00001.hea").write_text(text)
        shutil.copy(header.with_suffix(".dat"), folder / "my_ecgs/00001.dat")
        for suffix in (".hea", ".dat"):
            (folder / "my_ecgs" / f"{header.stem}{suffix}").unlink()
    own, wfdb = (f"r{i}" for i in range(count)), sorted((folder / "my_ecgs").glob("*.hea"))
    for prefix, names in (("", own), ("my_", [path.stem for path in wfdb])):
        labels = ["record_id,patient_id,age,sex"]
        questions = ["record_id,question,answer,options,template_id"]
        for number, name in enumerate(names):
            labels.append(f"{name},p{number},61,female")
            answer = ("sinus rhythm", "atrial fibrillation")[number % 2]
            offered = "sinus rhythm;atrial fibrillation"
            questions.append(f"{name},What is the rhythm?,{answer},{offered},1")
        (folder / f"{prefix}labels.csv").write_text("\n".join(labels) + "\n")
        (folder / f"{prefix}questions.csv").write_text("\n".join(questions) + "\n")


@pytest.mark.slow
@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_run_as_printed(document: str, reader: Reader) -> None:
    reader.follow(document)
    if document == "README.md":
        # Here, because another worker would have to follow the whole page again.
        exported_model_answers_as_predict_does(reader)


def exported_model_answers_as_predict_does(reader: Reader) -> None:
    """Compare what README's Python program prints with what its `predict` does."""
    (program,) = (step.text for step in steps_of("README.md") if step.language == "python")
    asked = re.search(r'text\(\s*"(.+?)"', program)
    assert asked is not None
    (answer,) = (
        output
        for command, output in reader.outputs.items()
        if command.startswith("ecg-fairseq predict ptb-xl")
        and f'--question "{asked[1]}"' in command
    )
    assert reader.outputs[program].strip() == answer.rpartition("  (probability")[0].strip()


@pytest.mark.slow
def test_quickstart_prepares_real_recordings(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(PROJECT / "scripts"))
    plan_module = importlib.import_module("quickstart_stages.plan")
    data = (reader.folder / "ptb-xl", reader.folder / "ecg-qa")
    plan = plan_module.Plan(reader.folder / "ptb_out", 1, True, *data)
    first = next(plan.stages())
    assert first.name == "manifest"
    subprocess.run(first.command, check=True, capture_output=True, timeout=300)
    assert first.done.exists()


def test_every_exception_is_a_command_that_is_printed() -> None:
    assert set(NOT_RUN) <= {step.text for step in ALL_STEPS}
    assert all(NOT_RUN.values())


@pytest.mark.parametrize("pattern", [pattern for pattern, _, _ in SMALL_FORMS])
def test_every_small_form_is_used(pattern: str) -> None:
    assert any(re.search(pattern, step.text) for step in ALL_STEPS)


def test_documents_print_commands() -> None:
    assert {step.document for step in ALL_STEPS} == set(DOCUMENTS)
    printed = {step.text for step in steps_of("README.md")}
    assert {"bash scripts/quickstart.sh", "bash scripts/test.sh"} <= printed


@pytest.mark.parametrize("step", [s for s in ALL_STEPS if s.language == "python"], ids=str)
def test_python_blocks_compile(step: Step) -> None:
    ast.parse(step.text)


def test_every_verb_is_mentioned() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert not [verb for verb in VERBS if f"ecg-fairseq {verb}" not in text]


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md"])
def test_links_lead_somewhere(document: str) -> None:
    path = PROJECT / document
    for link in LINK.findall(path.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), f"{document} links to {link}"
        if anchor:
            headings = HEADING.findall(target.read_text(encoding="utf-8"))
            assert anchor in {anchor_of(heading) for heading in headings}, f"{document}: {link}"


def anchor_of(heading: str) -> str:
    """Return the anchor that a Markdown page gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_settings_table_agrees_with_the_yamls() -> None:
    text = (PROJECT / "examples/ecg_byte/README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (\S+) \| (\S+) \|$", text, re.MULTILINE)
    assert len(rows) > 5
    for column, name in enumerate(("ecg_byte_qa", "ecg_byte_qa_tiny"), start=1):
        settings = OmegaConf.create(composed_settings(name))
        printed = {row[0]: row[column] for row in rows}
        assert printed == {key: str(OmegaConf.select(settings, key)) for key in printed}


def test_pictures_are_small() -> None:
    pictures = [path for path in (PROJECT / "docs").iterdir() if path.suffix == ".png"]
    assert pictures
    assert all(path.stat().st_size < 300_000 for path in pictures)
