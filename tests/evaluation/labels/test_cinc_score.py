"""The challenge's score: against its direct definition, and files that are not its weights."""

from pathlib import Path

import numpy as np
import pytest

from ecg_fairseq.errors import ScoreError
from ecg_fairseq.evaluation.labels.cinc_score import NORMAL_CODE, cinc_score, read_weights
from ecg_fairseq.records.labels.snomed_codes import SCORED_CLASSES, snomed_label_set

CLASSES = tuple("|".join(item.code for item in members) for members in SCORED_CLASSES)
NAMES = snomed_label_set("challenge_2021", ()).labels
# Made-up numbers: the challenge's own table is not in this repository.
VALUES = np.round(np.random.default_rng(0).random((26, 26)), 4)


def text_of(classes: tuple[str, ...] = CLASSES, values: np.ndarray = VALUES) -> str:
    lines = ["," + ",".join(classes)]
    lines += [
        f"{name},{','.join(map(str, row))}" for name, row in zip(classes, values, strict=True)
    ]
    return "\n".join(lines) + "\n"


@pytest.fixture
def weights_file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.csv"
    path.write_text(text_of())
    return path


def slow_score(labels: np.ndarray, outputs: np.ndarray, classes: list[str]) -> float:
    """The definition, with loops over recordings and pairs of classes."""

    def total(predicted: np.ndarray) -> float:
        found = 0.0
        for truth, guess in zip(labels, predicted, strict=True):
            size = max(sum(1 for a, b in zip(truth, guess, strict=True) if a or b), 1)
            for t, is_true in enumerate(truth):
                for o, is_said in enumerate(guess):
                    if is_true and is_said:
                        row, column = CLASSES.index(classes[t]), CLASSES.index(classes[o])
                        found += VALUES[row, column] / size
        return found

    normal = np.zeros_like(labels)
    normal[:, classes.index(NORMAL_CODE)] = 1
    return (total(outputs) - total(normal)) / (total(labels) - total(normal))


def random_pair(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = (generator.random((50, 26)) < 0.1).astype(int)
    labels[0] = 0
    outputs = np.where(generator.random((50, 26)) < 0.05, 1 - labels, labels)
    outputs[1] = 0
    return labels, outputs


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed: int, weights_file: Path) -> None:
    labels, outputs = random_pair(seed)
    found = cinc_score(read_weights(weights_file), labels, outputs, NAMES)
    assert found == pytest.approx(slow_score(labels, outputs, list(CLASSES)), abs=1e-12)
    assert found != pytest.approx(1.0)


def test_names_codes_and_abbreviations_are_the_same_in_any_order(weights_file: Path) -> None:
    weights = read_weights(weights_file)
    labels, outputs = random_pair()
    wanted = cinc_score(weights, labels, outputs, NAMES)
    order = np.random.default_rng(1).permutation(26)
    spellings = (
        NAMES,
        CLASSES,
        tuple("|".join(item.name.title() for item in members) for members in SCORED_CLASSES),
        tuple(members[-1].code for members in SCORED_CLASSES),
    )
    for names in spellings:
        shuffled = [names[k] for k in order]
        found = cinc_score(weights, labels[:, order], outputs[:, order], shuffled)
        assert found == pytest.approx(wanted, abs=1e-12)
    wrong = cinc_score(weights, labels[:, order], outputs[:, order], NAMES)
    assert wrong != pytest.approx(wanted, abs=1e-3)


def test_best_and_idle_systems(weights_file: Path) -> None:
    weights = read_weights(weights_file)
    labels, _ = random_pair()
    assert cinc_score(weights, labels, labels, NAMES) == pytest.approx(1.0)
    idle = np.zeros_like(labels)
    idle[:, NAMES.index("NSR")] = 1
    assert cinc_score(weights, labels, idle, NAMES) == 0.0
    assert cinc_score(weights, idle, idle, NAMES) == 0.0
    assert weights.normal == 14


def test_equivalent_codes_may_be_labels_of_their_own(weights_file: Path) -> None:
    weights = read_weights(weights_file)
    names = snomed_label_set("challenge_2021_uncombined", ()).labels
    assert len(names) == 30
    generator = np.random.default_rng(2)
    labels, outputs = generator.integers(0, 2, (2, 20, 30))
    columns = weights.columns(names)
    merged = [
        np.stack([side[:, columns == k].any(axis=1) for k in range(26)], axis=1).astype(int)
        for side in (labels, outputs)
    ]
    assert cinc_score(weights, labels, outputs, names) == pytest.approx(
        slow_score(*merged, list(CLASSES))
    )


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (NAMES[:-1], "classes without a label: 59931005"),
        ((*NAMES, "STD"), "no class of it: STD"),
        (("NSR|AF", *NAMES), r"no class of it: NSR\|AF"),
        (("NORM", "MI"), "2 labels are not the 26 classes"),
    ],
)
def test_other_labels_are_refused(names: tuple[str, ...], message: str, weights_file: Path) -> None:
    with pytest.raises(ScoreError, match=message):
        read_weights(weights_file).columns(names)


def test_shapes_must_fit(weights_file: Path) -> None:
    labels, outputs = random_pair()
    with pytest.raises(ScoreError, match="must be"):
        cinc_score(read_weights(weights_file), labels, outputs[:5], NAMES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a square table"),
        ("a,b\n", "not a square table"),
        (text_of().rsplit("\n", 2)[0] + "\n", "26 columns and 25 rows"),
        (text_of().replace(f"\n{CLASSES[3]},", "\n123456,"), "not a square table"),
        (text_of().replace(",0.", ",x0.", 1), "not a number"),
        (text_of().replace(NORMAL_CODE, "426783007"), "among them"),
        (text_of().replace(CLASSES[0], CLASSES[1]), f"repeated {CLASSES[1]}"),
        (text_of().replace(CLASSES[0], "AF"), "no codes AF"),
        (text_of(values=np.where(VALUES > 0.99, np.nan, VALUES)), "not finite"),
    ],
)
def test_files_that_are_not_the_weights_are_refused(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "weights.csv"
    path.write_text(text)
    with pytest.raises(ScoreError, match=message):
        read_weights(path)


def test_missing_and_binary_files_are_said(tmp_path: Path) -> None:
    with pytest.raises(ScoreError, match="evaluation-2021"):
        read_weights(tmp_path / "absent.csv")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ScoreError, match="cannot be read"):
        read_weights(tmp_path / "binary.csv")
