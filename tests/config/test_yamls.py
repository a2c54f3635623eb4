"""Every shipped YAML: found by hydra, complete, of the stated size, trains two updates (A8)."""

import json
import math
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path

import pytest
import torch
from ecg_fm_manifest import SMALL_ENCODER, SMALL_HEAD, make_ecg_fm_manifest
from fairseq_in_process import PACKAGE, SMALL, compose, train
from omegaconf import OmegaConf
from toy_manifest import make_manifest

from ecg_fairseq import compat
from ecg_fairseq.cli.composed_settings import composed_settings
from ecg_fairseq.networks.ecg_fm.checkpoint import NETWORKS, config_of
from ecg_fairseq.networks.encoders.registry import encoder_kind
from ecg_fairseq.networks.heartllm.config import config_of as fsq_config_of
from ecg_fairseq.networks.heartllm.network import FsqAutoencoder
from ecg_fairseq.networks.language_model.config import LanguageModelConfig
from ecg_fairseq.networks.language_model.language_model import EcgLanguageModel
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

YAMLS = sorted(path.stem for path in (PACKAGE / "config").glob("*.yaml"))
LLAMA_ROWS = 128_256
# What an override may change for a run of two updates: width, depth, batch, and the hub name.
ECG_BYTE_QA_SMALL = (
    "model.llm=llama_3_2_1b",
    "task.text_tokenizer=corpus",
    "dataset.num_workers=0",
)


ECG_BYTE = ("ecg_byte_qa", "ecg_byte_qa_tiny")
RESNET = ("resnet_diagnosis_tiny",)
HEARTLLM_TOKENIZER = ("heartllm_tokenizer", "heartllm_tokenizer_tiny")
ECG_FM = [name for name in YAMLS if name not in (*ECG_BYTE, *RESNET, *HEARTLLM_TOKENIZER)]
PRETRAINING = [name for name in ECG_FM if name.startswith("w2v") or "pretraining" in name]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    return make_manifest(tmp_path_factory.mktemp("toy"), 10).path


@pytest.fixture(scope="module")
def segments(tmp_path_factory) -> Path:
    return make_ecg_fm_manifest(tmp_path_factory.mktemp("segments"), 10)


@pytest.fixture(scope="module")
def pretrained(segments, tmp_path_factory) -> Path:
    """Two updates of the pretraining that finetuning starts from."""
    folder = tmp_path_factory.mktemp("pretrained")
    return train(segments, folder, *SMALL_ENCODER, *SMALL_HEAD, name="w2v_cmsc_rlm_tiny")


@cache
def written(name: str) -> dict:
    """What the YAML and the shared files that it names say."""
    return composed_settings(name)


def test_there_are_yamls():
    assert {*ECG_BYTE, *RESNET, *HEARTLLM_TOKENIZER} <= set(YAMLS)
    assert {"w2v_cmsc_rlm", "w2v_cmsc_rlm_small", "w2v_cmsc_rlm_tiny", "scratch_diagnosis"} <= set(
        ECG_FM
    )
    sizes = {f"{name}{size}" for name in ("diagnosis", "identification") for size in ("", "_tiny")}
    assert sizes <= set(ECG_FM)
    assert len(PRETRAINING) == 13


@pytest.mark.parametrize("name", YAMLS)
def test_every_field_is_written_out_and_none_is_unknown(name):
    from fairseq import models, registry, tasks

    compat.register()
    values = written(name)
    configs = {
        "task": tasks.TASK_DATACLASS_REGISTRY[values["task"]["_name"]],
        "model": models.MODEL_DATACLASS_REGISTRY[values["model"]["_name"]],
    }
    for group in ("criterion", "optimizer", "lr_scheduler"):
        table = registry.REGISTRIES[group]["dataclass_registry"]
        configs[group] = table[values[group]["_name"]]
    for group, config in configs.items():
        known = {field.name: field for field in fields(config)}
        given = set(values[group])
        assert given <= set(known), f"{group}: unknown {given - set(known)}"
        if group in ("task", "model", "criterion"):
            linked = {n for n, f in known.items() if str(f.default).startswith("${")}
            assert set(known) - linked - {"_name"} == given - {"_name"}, group


@pytest.mark.parametrize("name", YAMLS)
def test_composes_through_hydra_with_the_settings_every_yaml_carries(name):
    cfg = compose(name, "task.data=somewhere")
    assert Path(cfg.common.user_dir) == PACKAGE
    assert not any(cfg.common[switch] for switch in ("fp16", "bf16", "amp"))
    assert not any(cfg.common[f"memory_efficient_{kind}"] for kind in ("fp16", "bf16"))
    assert cfg.checkpoint.load_checkpoint_on_all_dp_ranks
    assert cfg.checkpoint.no_epoch_checkpoints
    assert cfg.distributed_training.ddp_backend == "legacy_ddp"
    assert cfg.dataset.ignore_unused_valid_subsets
    assert not cfg.dataset.skip_invalid_size_inputs_valid_test
    logged = ("loss", "answer_accuracy", "accuracy", "auroc_macro")
    assert cfg.checkpoint.best_checkpoint_metric in logged
    assert cfg.task.seed == cfg.common.seed
    values = written(name)
    assert values["hydra"]["run"]["dir"] == "."
    for switch in ("fp16", "bf16", "amp"):
        assert values["common"][switch] is False


# fairseq-signals' settings that did nothing here; they were in every YAML and are gone.
DROPPED = {
    f"task.{name}"
    for name in (
        "leads_bucket", "bucket_selection", "filter", "precompute_mask_indices",
        "inferred_w2v_config", "path_dataset", "load_specific_lead", "visualize",
    )
} | {"criterion.all_gather", "criterion.eps", "model.all_gather"}  # fmt: skip
# Links to fairseq's own groups, and what tasks have gained.
LINKS = {
    "task.save_dir": "checkpoints",
    "task.restore_file": "checkpoint_last.pt",
    "task.finetune_from_model": None,
    "task.continue_once": None,
}
OF_SIGNALS = {
    "task.items": "auto",
    "task.dependency_form": "sound",
    "task.views": "auto",
    "task.extra": [],
    "task.train_subset": "train",
    "task.external_test": False,
}
OF_QUESTIONS = {
    "task.prompt_layout": "ecg_byte",
    "task.results_path": None,
    "task.num_shards": 1,
    "task.shard_id": 0,
}


def flat(settings: dict, prefix: str = "") -> dict:
    """Return dotted names -> values."""
    found = {}
    for key, value in settings.items():
        is_group = isinstance(value, dict) and value
        found |= flat(value, f"{prefix}{key}.") if is_group else {f"{prefix}{key}": value}
    return found


@pytest.mark.parametrize("name", YAMLS)
def test_the_settings_of_a_run_are_the_published_ones(name):
    """Pinned before shared files existed; a value that changes on purpose is changed there."""
    pinned = json.loads(Path(__file__).with_name("composed_settings.json").read_text())
    expected = pinned["every YAML"] | pinned[name]
    expected = {key: value for key, value in expected.items() if key not in DROPPED}
    settings = OmegaConf.to_container(compose(name))
    settings["common"]["user_dir"] = "USER_DIR"
    expected |= LINKS | (OF_QUESTIONS if name in ECG_BYTE else OF_SIGNALS)
    assert flat(settings) == expected


@pytest.mark.parametrize("name", YAMLS)
def test_starts_with_command_hardware_and_metric(name):
    head = (PACKAGE / "config" / f"{name}.yaml").read_text().split("\ndefaults:")[0]
    assert head.startswith("# @package _global_\n")
    assert f"fairseq-hydra-train --config-name {name} " in head
    assert "Hardware:" in head
    assert "metric" in head.lower()


@pytest.mark.parametrize("name", YAMLS)
def test_unknown_keys_are_refused(name):
    with pytest.raises(Exception, match=r"task\.n_trian"):
        compose(name, "task.n_trian=1")


@pytest.mark.parametrize("name", ECG_BYTE)
def test_trains_two_updates_when_only_the_sizes_change(name, manifest, tmp_path):
    overrides = ECG_BYTE_QA_SMALL if name == "ecg_byte_qa" else ()
    small = (*SMALL, "model.hidden_size=64") if name == "ecg_byte_qa" else SMALL
    checkpoint = train(manifest, tmp_path, *overrides, *small, name=name)
    state = torch.load(checkpoint, weights_only=True)
    assert state["optimizer_history"][-1]["num_updates"] == 2
    assert "valid" in {name for name, *_ in state["extra_state"]["metrics"]} | set(
        state["extra_state"]["metrics"]
    )


def slow_unless(names: list[str], quick: tuple[str, ...]) -> list:
    """Return parameters; those not named are marked slow."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", slow_unless(PRETRAINING, ("w2v_cmsc_rlm",)))
def test_pretraining_trains_two_updates(name, segments, tmp_path):
    head = SMALL_HEAD if name.startswith("w2v") else ()
    overrides = (*SMALL_ENCODER, *head, "dataset.disable_validation=false")
    _check_two_updates(train(segments, tmp_path, *overrides, name=name))


@pytest.mark.parametrize(
    "name",
    slow_unless(sorted(set(ECG_FM) - set(PRETRAINING)), ("diagnosis_tiny", "identification_tiny")),
)
def test_finetuning_trains_two_updates(name, segments, pretrained, tmp_path):
    start = () if name.startswith("scratch") else (f"model.model_path={pretrained}",)
    small = SMALL_ENCODER if name.startswith("scratch") else ()
    state = _check_two_updates(train(segments, tmp_path, *start, *small, name=name))
    # The pretrained encoder's architecture is in the checkpoint: it can be read without that file.
    assert state["cfg"]["model"]["encoder_embed_dim"] == 32
    assert state["cfg"]["model"]["num_labels"] == (6 if "identification" in name else 2)


@pytest.mark.parametrize("name", RESNET)
def test_resnet_trains_two_updates(name, segments, tmp_path):
    small = "model.encoder_settings.base_width=4"
    state = _check_two_updates(train(segments, tmp_path, small, name=name))
    assert state["cfg"]["model"]["encoder_settings"]["base_width"] == 4
    assert state["cfg"]["model"]["num_labels"] == 2


@pytest.mark.parametrize("name", HEARTLLM_TOKENIZER)
def test_heartllm_tokenizer_trains_two_updates(name, segments, tmp_path):
    small = ("model.channels_per_lead=8", "dataset.disable_validation=false")
    state = _check_two_updates(train(segments, tmp_path, *small, name=name))
    assert state["cfg"]["model"]["levels"] == [6, 6, 6, 6]
    assert state["task_state"]["leads"][3:6] == ["aVR", "aVL", "aVF"]


def _check_two_updates(checkpoint: Path) -> dict:
    """Return a checkpoint after two updates and a validation."""
    state = torch.load(checkpoint, weights_only=True)
    assert state["optimizer_history"][-1]["num_updates"] == 2
    assert "valid" in state["extra_state"]["metrics"]
    assert state["task_state"]["recipe"]["name"] == "toy_ecg_fm"
    return state


@pytest.mark.parametrize(
    ("name", "num_parameters"),
    [
        ("w2v_cmsc_rlm", 90_883_072),
        ("w2v_pretraining", 90_883_072),
        ("w2v_cmsc_rlm_small", 62_531_584),
        ("three_kg_pretraining", 90_373_248),
    ],
)
def test_ecg_fm_has_the_published_size(name, num_parameters):
    model = compose(name, "task.data=somewhere").model
    with torch.device("meta"):
        network = NETWORKS[model._name][0](config_of(model._name, dict(model)))
    assert sum(weight.numel() for weight in network.parameters()) == num_parameters


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [("heartllm_tokenizer", 30_692, 4_139_916), ("heartllm_tokenizer_tiny", 2_300, 260_844)],
)
def test_heartllm_tokenizer_is_of_its_size(name, encoder, decoder):
    model = compose(name, "task.data=somewhere").model
    with torch.device("meta"):
        network = FsqAutoencoder(fsq_config_of(dict(model)))
    for part, wanted in ((network.enc, encoder), (network.dec, decoder)):
        assert sum(weight.numel() for weight in part.parameters()) == wanted


def test_ecg_fm_tiny_is_tiny_and_convolves_as_published():
    model = compose("w2v_cmsc_rlm_tiny", "task.data=somewhere").model
    with torch.device("meta"):
        network = NETWORKS[model._name][0](config_of(model._name, dict(model)))
    assert sum(weight.numel() for weight in network.parameters()) < 2_000_000
    assert network.feature_extractor.num_frames(2500) == 156


def test_resnet_tiny_is_tiny():
    model = compose("resnet_diagnosis_tiny", "task.data=somewhere").model
    kind = encoder_kind(model.encoder)
    with torch.device("meta"):
        encoder = kind.build(kind.settings(dict(model.encoder_settings)))
    assert sum(weight.numel() for weight in encoder.parameters()) == 243_360
    assert encoder.width == 128


def test_finetuning_and_pretraining_of_tiny_configs_have_one_architecture():
    """From random weights the tiny classifier is of the size that pretraining has."""
    shared = ("encoder_layers", "encoder_embed_dim", "conv_feature_layers", "encoder_ffn_embed_dim")
    for name in ("diagnosis_tiny", "identification_tiny"):
        for key in shared:
            assert written(name)["model"][key] == written("w2v_cmsc_rlm_tiny")["model"][key], key


@pytest.mark.parametrize("name", YAMLS)
def test_no_training_scores_the_test_split_unasked(name):
    assert "test" not in written(name)["dataset"]["valid_subset"].split(",")


@pytest.mark.parametrize("name", ["diagnosis", "scratch_diagnosis"])
def test_the_published_command_scores_the_test_split(name):
    assert "'dataset.valid_subset=\"valid,test\"'" in (PACKAGE / f"config/{name}.yaml").read_text()
    cfg = compose(name, "task.data=somewhere", "dataset.valid_subset='valid,test'")
    assert cfg.dataset.valid_subset == "valid,test"


@pytest.mark.parametrize("name", ECG_FM)
def test_keys_that_published_commands_add_stay_null(name):
    """``+key=value`` works only where the YAML has null."""
    values = written(name)
    assert values["criterion"].get("pos_weight") is None
    assert values["task"].get("label_file") is None


def _on_meta(name: str, num_text_rows: int, num_merges: int, **changes) -> EcgLanguageModel:
    """Build the YAML's model at its real size without memory for weights."""
    cfg = compose(name, "task.data=somewhere").model
    values = {f.name: cfg[f.name] for f in fields(LanguageModelConfig)}
    values["lora_targets"] = list(values["lora_targets"])
    ids = (*range(97, 123), *range(256, 256 + num_merges))
    vocabulary = EcgVocabulary(num_text_rows, ids, 0, 1)
    with torch.device("meta"):
        return EcgLanguageModel(
            LanguageModelConfig(**{**values, **changes}), vocabulary, bytes(32), 1
        )


def test_ecg_byte_qa_has_the_published_size():
    """Llama-3.2-1B: 1,235,814,400 weights; rank-16 adapters on all seven projections."""
    model = _on_meta("ecg_byte_qa", LLAMA_ROWS, 3500, llm="llama_3_2_1b")
    new_rows = model.vocabulary.num_new_rows
    assert new_rows == 26 + 3500 + 3
    count = {True: 0, False: 0}
    for name, weight in model.named_parameters():
        if "trainable_tokens" not in name:
            count[weight.requires_grad] += weight.numel()
    assert count[False] == 1_235_814_400 + 2048 * new_rows
    # r (d_in + d_out) over q, k, v, o, gate, up, down of 16 layers.
    widths = 2 * (2048 + 2048) + 2 * (2048 + 512) + 3 * (2048 + 8192)
    assert count[True] == 16 * 16 * widths
    trained = sum(w.numel() for w in model.parameters() if w.requires_grad)
    assert trained == count[True] + 2048 * new_rows


def test_ecg_byte_qa_tiny_is_tiny():
    model = _on_meta("ecg_byte_qa_tiny", 1024, 1000)
    assert all(weight.requires_grad for weight in model.parameters())
    assert sum(weight.numel() for weight in model.parameters()) < 3_000_000


def test_every_default_of_the_model_is_usable():
    for field in fields(LanguageModelConfig):
        assert field.default is not MISSING or field.default_factory is not MISSING
        assert field.metadata["help"]
    LanguageModelConfig().check()


def test_the_schedule_is_the_published_one():
    """d^-0.5 min(t^-0.5, t warmup^-1.5); fairseq's t is the number of updates already made, so the
    first update has lr 0 and every update the published value of the one before."""
    from fairseq import optim
    from fairseq.optim import lr_scheduler

    cfg = compose("ecg_byte_qa", "task.data=somewhere")
    for group in ("optimizer", "lr_scheduler"):
        cfg[group].lr = list(cfg.optimization.lr)
    optimizer = optim.build_optimizer(cfg.optimizer, [torch.nn.Parameter(torch.zeros(1))])
    schedule = lr_scheduler.build_lr_scheduler(cfg.lr_scheduler, optimizer)
    width, warmup = 2048, cfg.lr_scheduler.warmup_updates
    assert schedule.step_update(0) == 0.0
    for t in (1, 2, 100, 499, 500, 501, 2000, 100_000):
        published = width**-0.5 * min(t**-0.5, t * warmup**-1.5)
        assert schedule.step_update(t) == pytest.approx(published, rel=1e-9), t
    assert math.isclose(schedule.step_update(500), 9.88e-4, rel_tol=1e-3)


def test_no_option_of_ours_hides_behind_one_of_fairseqs():
    """fairseq-train and fairseq-generate merge equal names silently (fact sheet section 4)."""
    from fairseq import models, options, tasks

    compat.register()
    core = set()
    for parser in (options.get_training_parser(), options.get_generation_parser()):
        core |= {action.dest for action in parser._actions}
    for config in (
        *(tasks.TASK_DATACLASS_REGISTRY[written(name)["task"]["_name"]] for name in YAMLS),
        *(models.MODEL_DATACLASS_REGISTRY[written(name)["model"]["_name"]] for name in YAMLS),
    ):
        own = {f.name for f in fields(config) if not str(f.default).startswith("${")}
        assert not own & core
