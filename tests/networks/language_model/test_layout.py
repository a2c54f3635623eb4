"""Layouts are data: shipped ones say what the fact sheets say, broken ones are refused in words."""

import copy

import numpy as np
import pytest
import yaml

from ecg_fairseq.errors import EcgError
from ecg_fairseq.networks.language_model.layout import (
    LAYOUT_FOLDER,
    layout_from_dict,
    layout_names,
    load_layout,
)
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary, RowOrder

ECG_BYTE = yaml.safe_load((LAYOUT_FOLDER / "ecg_byte.yaml").read_text())


def changed(**fields):
    """ECG-Byte's layout with other fields; ``vocabulary`` fields are merged."""
    value = copy.deepcopy(ECG_BYTE)
    value["vocabulary"] |= fields.pop("vocabulary", {})
    return {**value, **fields}


def test_every_shipped_layout_loads_under_its_name_and_survives_a_checkpoint():
    names = layout_names()
    assert {"ecg_byte", "heartllm_qa", "heartllm_report", "two_stage"} <= set(names)
    for name in names:
        layout = load_layout(name)
        assert layout.name == name
        assert layout_from_dict(layout.to_dict()) == layout


def test_ecg_byte_has_the_default_rows():
    """So the fingerprint of checkpoints from before layouts stays what it was."""
    assert load_layout("ecg_byte").rows == RowOrder()


@pytest.mark.parametrize(
    ("name", "num_shared", "recordings"),
    [
        ("ecg_byte", 2, None),
        ("two_stage", 2, None),
        ("heartllm_qa", 1, 1),
        ("heartllm_report", 5, 1),
        ("llama_3_instruct", 3, None),
    ],
)
def test_what_is_shared_follows_from_the_pieces(name, num_shared, recordings):
    layout = load_layout(name)
    assert (layout.num_shared, layout.num_recordings) == (num_shared, recordings)


def test_rows_of_heartllm():
    """Fact sheet heartllm.md 4.2: PAD, start, end before the codes, two reserved rows behind."""
    vocabulary = EcgVocabulary(
        128_256, tuple(range(1296)), 128_000, 128_001, load_layout("heartllm_qa").rows
    )
    names = ("<|PAD|>", "<|start_ecg|>", "<|end_ecg|>", "ecg", "<mask>", "<infill>")
    assert [vocabulary.row_of(name) for name in names] == [
        *range(128_256, 128_260),
        129_555,
        129_556,
    ]
    assert vocabulary.rows_of(np.array([0, 1295])).tolist() == [128_259, 129_554]
    assert (vocabulary.pad_id, vocabulary.size) == (128_256, 129_557)
    assert vocabulary.new_names()[2:4] == ["<|end_ecg|>", "ecg_0"]
    other = EcgVocabulary(128_256, tuple(range(1296)), 128_000, 128_001)
    assert vocabulary.fingerprint("a", "b") != other.fingerprint("a", "b")


def test_rows_without_text():
    rows = RowOrder(
        order=("<pad>", "<start>", "<end>", "ecg"), bos="<start>", eos="<end>", ecg_name="c{id}"
    )
    vocabulary = EcgVocabulary(0, (4, 7), 1, 2, rows)
    assert vocabulary.rows_of(np.array([7, 4])).tolist() == [4, 3]
    assert (vocabulary.size, vocabulary.num_answer_rows, vocabulary.pad_id) == (5, 5, 0)
    assert vocabulary.new_names() == ["<pad>", "<start>", "<end>", "c4", "c7"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["bos"], "a layout must be a mapping, got list"),
        ({"name": "x", "vocabulary": {}}, "the field pieces is missing"),
        (changed(extra=1), "a layout has no field extra"),
        (changed(name="../x"), "name must be a word"),
        (changed(pieces=[]), "pieces must be a list"),
        (changed(pieces=["bos", "ecg", "answer"]), "piece 'ecg' is not one of bos"),
        (changed(pieces=[3]), "piece 3 must be one of"),
        (changed(pieces=[{"text": "a", "code": "b"}]), "a piece with text has no field code"),
        (changed(pieces=[{"text": 3}]), "text must be text"),
        (changed(pieces=[{"ecg": "tokens", "repeat": "yes"}]), "repeat must be true or false"),
        (changed(pieces=[{"ecg": "pixels"}]), "ecg must be one of tokens, features"),
        (changed(pieces=[{"text": "{name}"}]), "unknown placeholder name"),
        (
            changed(pieces=[{"text": "{question}", "special_tokens": True}]),
            "special_tokens is for fixed text",
        ),
        (changed(pieces=["bos", "question"]), "answer exactly once"),
        (changed(pieces=["answer", "question"]), "answer must be the last piece"),
        (changed(pieces=["answer", "eos"]), "something must stand before the answer"),
        (changed(pieces=["bos", "question", "answer"]), "at least one ecg before the answer"),
        (
            changed(pieces=[{"ecg": "tokens"}, "question", "question", "answer"]),
            r"only one piece may hold \{question\}",
        ),
        (
            changed(pieces=[{"ecg": "tokens", "repeat": True}, {"ecg": "tokens"}, "answer"]),
            "only the last ecg piece may repeat",
        ),
        (changed(pieces=[{"row": "<x>"}, {"ecg": "tokens"}, "answer"]), "row '<x>' is not one of"),
        (changed(pieces=[{"ecg": "features"}, "answer"]), "needs vocabulary.feature"),
        (changed(vocabulary={"order": "text"}), "order must be a list of names"),
        (changed(vocabulary={"order": ["ecg", "text", "<pad>"]}), "text is first"),
        (changed(vocabulary={"order": ["text", "<pad>", "<pad>"]}), "names a row twice"),
        (changed(vocabulary={"order": ["text", "<pad>"]}), "row '<sig_start>' is not one of"),
        (changed(vocabulary={"pad": "text"}), "vocabulary.pad 'text' is not one of the special"),
        (changed(vocabulary={"pad": 3}), "vocabulary.pad must be a name"),
        (changed(vocabulary={"ecg_name": "x"}), r"must contain \{id\}"),
        (changed(vocabulary={"colour": "x"}), "vocabulary has no field colour"),
        (
            changed(
                vocabulary={"order": ["ecg", "<pad>"]}, pieces=[{"ecg": "tokens"}, "answer", "eos"]
            ),
            "without text rows vocabulary.eos must be one of the special rows",
        ),
        (
            changed(
                vocabulary={"order": ["ecg", "<pad>"]},
                pieces=[{"ecg": "tokens"}, "question", "answer"],
            ),
            "text pieces need text in vocabulary.order",
        ),
    ],
)
def test_broken_layouts_are_refused_in_words(value, message):
    with pytest.raises(EcgError, match=message):
        layout_from_dict(value)


def test_files_are_data_never_code(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("!!python/object/apply:os.system ['touch " + str(tmp_path / "ran") + "']")
    with pytest.raises(EcgError, match=r"mine\.yaml cannot be read: .*plain YAML"):
        load_layout(str(path))
    assert not (tmp_path / "ran").exists()
    path.write_text("{" * 5000)
    with pytest.raises(EcgError, match=r"mine\.yaml cannot be read"):
        load_layout(str(path))
    path.write_text(yaml.safe_dump(changed(name="mine")))
    assert load_layout(str(path)).pieces == load_layout("ecg_byte").pieces
    for name in ("absent", "../layouts/ecg_byte", str(tmp_path / "absent.yaml"), ""):
        with pytest.raises(EcgError, match=r"not found; choose one of ecg_byte, heartllm_qa"):
            load_layout(name)
