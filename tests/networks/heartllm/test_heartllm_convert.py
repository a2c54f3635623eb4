"""HeartLLM's tokenizer files: both ways, nothing executed, no partial load unasked for."""

import io
import os
import pickle
import resource

import pytest
import torch

from ecg_fairseq.cli.main import main
from ecg_fairseq.errors import CheckpointError, EcgError
from ecg_fairseq.networks.checkpoint_file import read_checkpoint_file
from ecg_fairseq.networks.heartllm.convert import convert_checkpoint, export_checkpoint
from ecg_fairseq.networks.trained import open_trained
from ecg_fairseq.signal.recipes import get_recipe


def test_there_and_back_is_the_same_file(make_best, tmp_path):
    source = make_best()
    report = convert_checkpoint(source, tmp_path / "ours.pt")
    assert report.is_complete
    assert len(report.matched) == 73
    state = read_checkpoint_file(tmp_path / "ours.pt")
    recipe = get_recipe("heartllm_reference")
    assert state["task_state"]["recipe"] == {"name": recipe.name, "hash": recipe.hash()}
    assert state["task_state"]["leads"][4:6] == ["aVF", "aVL"]
    assert state["optimizer_history"][-1]["num_updates"] == 1500
    export_checkpoint(tmp_path / "ours.pt", tmp_path / "back.pt")
    theirs, back = (torch.load(path, weights_only=True) for path in (source, tmp_path / "back.pt"))
    assert list(back["model"]) == list(theirs["model"])
    assert back["step"] == theirs["step"]
    for name, tensor in theirs["model"].items():
        assert torch.equal(back["model"][name], tensor)


def test_levels_recipe_and_sizes(make_best, tmp_path):
    source = make_best(in_d=12, levels=[8, 5, 5, 5, 2], channels_per_lead=16, depth=3)
    report = convert_checkpoint(source, tmp_path / "ours.pt", recipe="heartllm", levels="8,5,5,5,2")
    assert report.is_complete
    trained = open_trained(tmp_path / "ours.pt")
    tokens = trained.require("tokenize")
    assert tokens.levels == (8, 5, 5, 5, 2)
    assert tokens.samples_per_token == 8
    assert tokens.recipe["name"] == "heartllm"
    assert tokens.num_samples == 5000
    assert trained.can("embed")


def test_other_leads_have_no_recipe(make_best, tmp_path):
    source = make_best(in_d=3)
    report = convert_checkpoint(source, tmp_path / "ours.pt")
    assert any("3 leads" in note for note in report.notes)
    assert read_checkpoint_file(tmp_path / "ours.pt")["task_state"]["recipe"] is None
    with pytest.raises(EcgError, match="reads 3 leads"):
        convert_checkpoint(source, tmp_path / "other.pt", recipe="heartllm")
    assert not (tmp_path / "other.pt").exists()


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda model: model.pop("dec.final.bias"), "1 missing"),
        (lambda model: model.update(more=torch.zeros(2)), "1 unexpected"),
        (lambda model: model.update({"dec.final.bias": torch.zeros(5)}), "1 of another shape"),
    ],
)
def test_partial_files_are_refused_unless_asked_for(change, count, make_best, tmp_path):
    source = make_best(change=change)
    with pytest.raises(CheckpointError, match=count):
        convert_checkpoint(source, tmp_path / "ours.pt")
    assert not (tmp_path / "ours.pt").exists()
    report = convert_checkpoint(source, tmp_path / "ours.pt", allow_partial=True)
    names = [*report.missing, *report.unexpected, *report.wrong_shape]
    assert len(names) == 1
    assert any(names[0] in line for line in report.lines())


def test_a_random_decoder_decodes_nothing_and_a_random_encoder_encodes_nothing(make_best, tmp_path):
    source = make_best(change=lambda model: model.pop("dec.final.bias"))
    convert_checkpoint(source, tmp_path / "ours.pt", allow_partial=True)
    tokens = open_trained(tmp_path / "ours.pt").require("tokenize")
    with pytest.raises(EcgError, match="nothing can be decoded"):
        tokens.decode([1, 2, 3])
    source = make_best("other.pt", change=lambda model: model.pop("enc.to_code.bias"))
    convert_checkpoint(source, tmp_path / "random.pt", allow_partial=True)
    with pytest.raises(EcgError, match="random values in enc"):
        open_trained(tmp_path / "random.pt")


def test_a_full_checkpoint_holds_the_encoder_alone(make_best, tmp_path):
    model = torch.load(make_best(), weights_only=True)["model"]
    encoder = {name: one.bfloat16() for name, one in model.items() if name.startswith("enc.")}
    torch.save({"llm_model.head.weight": torch.zeros(3), **encoder}, tmp_path / "full.pth")
    with pytest.raises(CheckpointError, match="36 missing, 1 unexpected"):
        convert_checkpoint(tmp_path / "full.pth", tmp_path / "ours.pt")
    report = convert_checkpoint(tmp_path / "full.pth", tmp_path / "ours.pt", allow_partial=True)
    assert any("half precision" in note for note in report.notes)
    tokens = open_trained(tmp_path / "ours.pt").require("tokenize")
    assert not tokens.has_decoder


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_in_a_file_is_executed(make_best, tmp_path):
    made = tmp_path / "made"
    torch.save({"model": torch.load(make_best())["model"], "x": Harmful(made)}, tmp_path / "h.pt")
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Harmful(made)))
    for name in ("h.pt", "plain.pt"):
        with pytest.raises(CheckpointError):
            convert_checkpoint(tmp_path / name, tmp_path / "ours.pt")
    assert not made.exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([1, 2], "no tokenizer of HeartLLM"),
        ({"other": torch.zeros(2)}, "no tokenizer of HeartLLM"),
        ({"model": {"a.b.c": torch.zeros(2)}}, "tensors of a.b"),
        ({"model": {"enc.to_code.weight": 3}}, "does not map names to tensors"),
        ({"model": torch.zeros(2)}, "does not map names to tensors"),
        ({"model": {}}, "does not map names to tensors"),
        (
            {
                "model": {
                    "enc.to_code.weight": torch.zeros(4, 100),
                    "enc.bottleneck.norm.weight": torch.zeros(32),
                }
            },
            "of shape",
        ),
    ],
)
def test_other_files_are_explained(content, reason, tmp_path):
    stream = io.BytesIO()
    torch.save(content, stream)
    (tmp_path / "x.pt").write_bytes(stream.getvalue())
    with pytest.raises(CheckpointError, match=reason):
        convert_checkpoint(tmp_path / "x.pt", tmp_path / "ours.pt")


def test_numbers_that_are_not_finite_are_refused(make_best, tmp_path):
    source = make_best(change=lambda model: model["dec.final.bias"].fill_(float("nan")))
    with pytest.raises(CheckpointError, match="not finite"):
        convert_checkpoint(source, tmp_path / "ours.pt")


def test_command(make_best, tmp_path, capsys):
    source = str(make_best())
    ours, back = str(tmp_path / "ours.pt"), str(tmp_path / "back.pt")
    assert main(["convert", "--from", "heartllm", source, "--out", ours]) == 0
    assert "73 keys matched" in capsys.readouterr().out
    assert main(["convert", "--to", "heartllm", ours, "--out", back]) == 0
    capsys.readouterr()
    for options, reason in (
        (["--key-style", "weight_g"], "--key-style does nothing with --from heartllm"),
        (["--levels", "6,6"], "names 2 dimensions"),
        (["--levels", "six"], "give one number"),
        (["--levels", "1"], "levels="),
        (["--recipe", "nothing"], "unknown recipe"),
    ):
        out = ["--out", str(tmp_path / "never.pt"), *options]
        assert main(["convert", "--from", "heartllm", source, *out]) == 1
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "never.pt").exists()
    assert main(["convert", "--to", "heartllm", ours, "--out", back, "--recipe", "heartllm"]) == 1
    assert "--recipe does nothing" in capsys.readouterr().err


def test_another_model_is_not_exported(tmp_path):
    torch.save({"model": {}, "cfg": {"model": {"_name": "ecg_llm"}}}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="holds the model 'ecg_llm'"):
        export_checkpoint(tmp_path / "x.pt", tmp_path / "y.pt")


@pytest.mark.parametrize("change", [None, "task_state"])
@pytest.mark.parametrize("options", [[], ["--recipe", "heartllm"], ["--allow-partial"]])
def test_our_own_checkpoint_is_not_taken_for_theirs(options, change, make_best, tmp_path, capsys):
    ours = tmp_path / "ours.pt"
    convert_checkpoint(make_best(), ours, recipe="heartllm")
    if change:
        state = torch.load(ours, weights_only=True)
        state[change] = {}
        torch.save(state, ours)
    words = ["convert", "--from", "heartllm", str(ours), "--out", str(tmp_path / "never.pt")]
    assert main([*words, *options]) == 1
    assert "checkpoint of this package" in capsys.readouterr().err
    assert not (tmp_path / "never.pt").exists()


@pytest.mark.parametrize("direction", ["--from", "--to"])
def test_a_full_disk_is_one_sentence(direction, make_best, tmp_path, capsys):
    source, ours = make_best(), tmp_path / "ours.pt"
    convert_checkpoint(source, ours)
    given = str(source if direction == "--from" else ours)
    out = tmp_path / "out" / "never.pt"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # No file may grow beyond this: as a disk that takes no more.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
        code = main(["convert", direction, "heartllm", given, "--out", str(out)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    error = capsys.readouterr().err
    assert code == 1
    assert f"cannot write {out}" in error
    assert "Traceback" not in error
    assert list(out.parent.iterdir()) == []
