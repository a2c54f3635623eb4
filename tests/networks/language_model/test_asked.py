"""What a checkpoint remembers of the questions that it was trained on."""

import json
from pathlib import Path

import pytest

from ecg_fairseq.errors import CheckpointError
from ecg_fairseq.networks.language_model.asked import Asked, AskedStages, words_of
from ecg_fairseq.records.questions.question import Question
from ecg_fairseq.records.questions.question_file import Questions
from ecg_fairseq.records.questions.question_lines import read_question_columns


def questions(folder: Path, *asked: tuple[str, tuple[str, ...]]) -> Questions:
    lines = [
        Question(
            id=str(number),
            record_ids=list(records),
            patient_ids=list(records),
            question=text,
            question_type="own",
            answer=["yes"],
        )
        for number, (text, records) in enumerate(asked)
    ]
    path = folder / f"{len(list(folder.iterdir()))}.jsonl"
    path.write_text("".join(json.dumps(one.to_dict()) + "\n" for one in lines))
    return Questions(path, read_question_columns(path))


def test_words_are_those_of_any_script_without_marks_and_case() -> None:
    assert words_of(["Is the heart's axis LEFT-ward?", "is it 60/min"]) == [
        "is", "the", "heart's", "axis", "left", "ward", "it", "60", "min",
    ]  # fmt: skip
    assert words_of(["Größe der Welle_P, 心电图?"]) == ["grösse", "der", "welle", "p", "心电图"]


def test_stages_add_up_and_survive_a_checkpoint(tmp_path: Path) -> None:
    first = Asked.of(questions(tmp_path, ("Is it fast?", ("1",)), ("Is it slow?", ("2",))))
    second = Asked.of(questions(tmp_path, ("Has the axis changed?", ("1", "2"))))
    assert (first.num_recordings, second.num_recordings) == ({1}, {2})
    stages = AskedStages()
    stages.begin_with({"ecg_tokenizer": {}, "asked": first.to_state()})
    stages.train_on(questions(tmp_path, ("Has the axis changed?", ("1", "2"))))
    both = Asked.from_state(stages.to_state())
    assert both == first | second
    assert both.unknown_words("Is the AXIS fast or wide?") == ["or", "wide"]
    resumed = AskedStages()
    resumed.resume_from(stages.to_state())
    resumed.train_on(questions(tmp_path, ("Is it fast?", ("1",))))
    assert resumed.to_state() == stages.to_state()


def test_an_earlier_stage_that_does_not_say_leaves_it_unknown(tmp_path: Path) -> None:
    asked = questions(tmp_path, ("Is it fast?", ("1",)))
    of_an_encoder, of_an_older_model = AskedStages(), AskedStages()
    of_an_encoder.begin_with({"recipe": "r"})
    of_an_older_model.begin_with({"ecg_tokenizer": {}})
    for stages in (of_an_encoder, of_an_older_model):
        stages.train_on(asked)
    assert of_an_encoder.to_state()["asked"] == {"words": "fast is it", "num_recordings": [1]}
    assert of_an_older_model.to_state() == {}
    assert Asked.from_state({}) is None
    assert AskedStages().to_state() == {}


@pytest.mark.parametrize("damaged", [[], {"words": "a"}, {"words": "a", "num_recordings": ["x"]}])
def test_damaged_states_are_refused(damaged: object) -> None:
    with pytest.raises(CheckpointError, match="list of trained questions is damaged"):
        Asked.from_state({"asked": damaged})
