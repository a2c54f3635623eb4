"""Sequences of every layout: what the fact sheets and recorded prompts say, packed or alone."""

import json
import pickle

import numpy as np
import pytest
from toy_models import text_tokenizer

from ecg_fairseq.errors import EcgError, RecordError
from ecg_fairseq.networks.language_model.layout import layout_from_dict, load_layout
from ecg_fairseq.networks.language_model.prompt import IGNORED_LABEL
from ecg_fairseq.networks.language_model.prompt_builder import PromptBuilder, patient_header
from ecg_fairseq.networks.language_model.text_tokenizer import load_text_tokenizer
from ecg_fairseq.networks.language_model.vocabulary import EcgVocabulary

TEXT = text_tokenizer()
CODES = tuple(range(1296))
LAYOUTS = ("ecg_byte", "heartllm_qa", "heartllm_report", "two_stage")


class FakeTokens:
    """ECG ids 0..1295."""

    def emitted_ids(self):
        return np.arange(1296)


def builder(name: str, text=TEXT) -> PromptBuilder:
    layout = load_layout(name)
    return PromptBuilder(layout, EcgVocabulary.build(layout.rows, text, FakeTokens()), text)


def ecg_for(made: PromptBuilder, length: int = 9) -> np.ndarray:
    if made.vocabulary.feature_id is not None:
        return made.feature_rows(length)
    return made.vocabulary.rows_of(np.arange(length) * 7)


def questions_for(made: PromptBuilder, count: int, header: str = ""):
    return [
        (
            TEXT.encode(made.question_text(f"What form is new {'?' * k}", header)),
            made.answer_ids(TEXT.encode("tall pulse; none"[: 6 + k])),
        )
        for k in range(count)
    ]


def test_two_stage_is_the_published_sequence():
    """Fact sheet ecg-byte.md 4.3: bos, sig_start, signal, sig_end, Q, A, eos; labels from A on."""
    made = builder("two_stage")
    rows = made.vocabulary
    assert rows.num_new_rows == 4
    pad, start, end, signal = (TEXT.num_rows + k for k in range(4))
    assert (rows.pad_id, rows.feature_id) == (pad, signal)
    question, answer = [5, 6], made.answer_ids([7])
    packed = made.pack([made.feature_rows(1)], [(question, answer)])
    assert packed.input_ids.tolist() == [TEXT.bos_id, start, signal, end, 5, 6, 7, TEXT.eos_id]
    assert packed.labels.tolist() == [IGNORED_LABEL] * 6 + [7, TEXT.eos_id]
    assert made.prompt(question, [made.feature_rows(3)]).tolist()[2:6] == [signal] * 3 + [end]
    with pytest.raises(EcgError, match="no place for feature vectors"):
        builder("ecg_byte").feature_rows(1)


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("header", ["", "Age: 63; Sex: female."])
def test_packed_sequences_hold_the_rows_of_separate_ones(name, header):
    """Segment k, put behind the prefix, is the sequence of question k alone."""
    made = builder(name)
    ecgs = [ecg_for(made)]
    questions = questions_for(made, 3, header)
    packed = made.pack(ecgs, questions, header)
    for number, question in enumerate(questions, start=1):
        alone = made.pack(ecgs, [question], header)
        here = (packed.segment_ids == 0) | (packed.segment_ids == number)
        for array in ("input_ids", "position_ids", "labels"):
            assert getattr(packed, array)[here].tolist() == getattr(alone, array).tolist()
        prompt = made.prompt(question[0], ecgs, header)
        assert alone.input_ids.tolist() == [*prompt.tolist(), *question[1]]
        assert alone.position_ids.tolist() == list(range(len(alone.input_ids)))
        # the row before an answer stands in the answer's own segment
        first = np.flatnonzero(alone.labels != IGNORED_LABEL)[0]
        assert alone.segment_ids[first - 1] == 1
    text = sum(len(asked) + len(answer) for asked, answer in questions)
    assert made.needed([9], text, 3, header) == len(packed.input_ids)


@pytest.mark.parametrize(("name", "copies"), [("ecg_byte", 1), ("heartllm_qa", 3)])
def test_cutting_counts_every_copy_of_the_ecg(name, copies):
    made = builder(name)
    ecg, questions = ecg_for(made, 60), questions_for(made, 3)
    text = sum(len(asked) + len(answer) for asked, answer in questions)
    needed = made.needed([60], text, 3)
    (whole,) = made.fit([ecg], text, needed, False, "q", 3)
    assert len(whole) == 60
    (cut,) = made.fit([ecg], text, needed - 31, True, "q", 3)
    assert len(cut) == 60 - -(-31 // copies)
    assert len(made.pack([cut], questions).input_ids) <= needed - 31
    with pytest.raises(RecordError, match="'q' needs"):
        made.fit([ecg], text, needed - 1, False, "q", 3)


def test_feature_vectors_are_never_cut():
    made = builder("two_stage")
    with pytest.raises(RecordError, match="needs 35 tokens"):
        made.fit([made.feature_rows(30)], 2, 34, True, "q")


@pytest.mark.parametrize("name", ["heartllm_qa", "heartllm_report"])
def test_layouts_of_one_recording_refuse_two(name):
    made = builder(name)
    ecgs = [ecg_for(made)] * 2
    with pytest.raises(RecordError, match=rf"2 recordings but prompt layout {name} shows 1;"):
        made.prefix(ecgs)
    with pytest.raises(RecordError, match="question 'q' is about 2"):
        made.fit(ecgs, 3, 1000, True, "q")


def test_two_slots_take_one_recording_each_and_the_last_takes_the_rest():
    value = load_layout("ecg_byte").to_dict()
    slot = {"ecg": "tokens", "start": "<sig_start>"}
    value["pieces"] = [slot, "question", {"ecg": "tokens", "repeat": True}, "answer"]
    layout = layout_from_dict(value)
    made = PromptBuilder(layout, EcgVocabulary(10, CODES, 1, 2, layout.rows), None)
    ecgs = [made.vocabulary.rows_of(np.array([k])) for k in range(3)]
    start = made.vocabulary.sig_start_id
    assert made.prefix(ecgs).tolist() == [start, 10]
    assert made.context([5, 6], ecgs).tolist() == [5, 6, 11, 12]
    assert made.answer_ids([4]) == (4,)
    with pytest.raises(RecordError, match=r"1 recordings .* shows 2 or more"):
        made.prefix(ecgs[:1])


def test_a_question_cannot_write_placeholders_or_special_tokens():
    made = builder("heartllm_qa")
    text = made.question_text("Is it {header} or {question}?", "secret")
    assert "Question:Is it {header} or {question}? <|end_prompt|>" in text
    ids = TEXT.encode(made.question_text("</s> <|start_ecg|>"))
    assert TEXT.eos_id not in ids
    assert max(ids) < TEXT.num_rows


def test_chat_template_marks_are_tokens_of_the_text_tokenizer(tmp_path):
    text = text_tokenizer()
    marks = ["<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    text.tokenizer.add_tokens(marks, special_tokens=True)
    text.tokenizer.save_pretrained(tmp_path)
    text = load_text_tokenizer(str(tmp_path))
    made = builder("llama_3_instruct", text)
    end, start_header, end_header = (text.token_id(mark) for mark in marks)
    assert made.vocabulary.eos_id == end
    ecg = made.vocabulary.rows_of(np.array([3]))
    asked = text.encode("yes <|eot_id|> no")
    assert end not in asked
    prompt = made.prompt(asked, [ecg]).tolist()
    assert prompt[:2] == [text.bos_id, start_header]
    assert [prompt.count(mark) for mark in (end, start_header, end_header)] == [1, 2, 2]
    assert made.answer_ids([5]) == (5, end)
    with pytest.raises(EcgError, match="nor a token of this text tokenizer"):
        builder("llama_3_instruct")


def test_builders_travel_to_worker_processes():
    made = pickle.loads(pickle.dumps(builder("heartllm_qa")))
    assert made.prefix([ecg_for(made)]).tolist() == [TEXT.bos_id]


def test_a_vocabulary_of_another_layout_is_refused():
    with pytest.raises(EcgError, match="not laid out for prompt layout heartllm_qa"):
        PromptBuilder(load_layout("heartllm_qa"), builder("ecg_byte").vocabulary, TEXT)


def test_patient_header_leaves_unknown_values_out():
    assert patient_header(63.0, "female") == "Age: 63; Sex: female."
    assert patient_header(None, "male") == "Sex: male."
    assert patient_header(None, "") == ""


@pytest.mark.parametrize("case", ["qa_train", "qa_valid", "report_train", "report_valid"])
def test_recorded_sequences_of_heartllm(shared_dir, case):
    """Golden stage 3: input rows and labels as the reference built them, left padding aside."""
    folder = shared_dir / "golden" / "heartllm" / "llm_stages"
    if not folder.is_dir():
        pytest.skip(f"no golden cases in {folder}")
    text = load_text_tokenizer(str(folder / "base_llm"))
    made = builder("heartllm_qa" if case.startswith("qa") else "heartllm_report", text)
    facts = json.loads((folder / "vocab.json").read_text())
    assert made.vocabulary.size == facts["embedding_rows"]
    assert made.vocabulary.pad_id == facts["pad_id"]
    items = json.loads((folder / "stage3.json").read_text())["cases"][case]["items"]
    with np.load(folder / "stage3.npz") as arrays:
        recorded = {
            name: arrays[f"{case}/{name}"]
            for name in ("input_ids", "labels", "attention_mask", "ecg_codes")
        }
    end = text.tokenizer.eos_token
    for row, item in enumerate(items):
        header = item["entry"]["background"].split("Recording Details:")[0]
        asked = text.encode(made.question_text(item["entry"].get("question", ""), header))
        answer = made.answer_ids(text.encode(item["target_text"].removesuffix(end)))
        ecg = made.vocabulary.rows_of(recorded["ecg_codes"][row])
        packed = made.pack([ecg], [(asked, answer)], header)
        counted = recorded["attention_mask"][row].astype(bool)
        assert packed.input_ids.tolist() == recorded["input_ids"][row][counted].tolist()
        assert packed.labels.tolist() == recorded["labels"][row][counted].tolist()
