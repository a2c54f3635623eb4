"""Reference pickles in, Hugging Face files out."""

import json
import pickle
import random

import pytest

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer, twin
from ecg_fairseq.tokenizer.huggingface import export_huggingface, huggingface_form
from ecg_fairseq.tokenizer.merges import checked_merges
from ecg_fairseq.tokenizer.pickles import import_pickle, read_plain_pickle


def reference_form(pairs: list[tuple[int, int]]) -> tuple[dict, list]:
    """Return (vocab, merges) as the reference's trainer gives them, vocabulary out of order."""
    words = EcgTokenizer(checked_merges(pairs)).expansions()
    names = [chr(i) if i < 128 else f"<{i}>" for i in range(256)]
    names += ["".join(names[byte] for byte in word) for word in words[256:]]
    order = list(range(len(names)))
    random.Random(0).shuffle(order)
    merges = [(list(words[256 + k]), 256 + k) for k in range(len(pairs))]
    return {i: names[i] for i in order}, merges


@pytest.fixture(scope="module")
def pairs() -> list[tuple[int, int]]:
    return twin.train([b"mmmnnmmnmmmlmmnnmlmmmm" * 5, bytes([200, 201]) * 9], 30)[0]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_import_recovers_the_pairs(tmp_path, pairs, protocol):
    path = tmp_path / "tokenizer.pkl"
    path.write_bytes(pickle.dumps(reference_form(pairs), protocol=protocol))
    tokenizer = import_pickle(path, Quantizer(-1.0, 1.0))
    assert [tuple(pair) for pair in tokenizer.merges.tolist()] == pairs
    assert tokenizer.mode == "greedy"
    assert tokenizer.quantizer == Quantizer(-1.0, 1.0)


def test_golden_pickle(shared_dir):
    folder = shared_dir / "golden" / "ecg-byte"
    expected = json.loads((folder / "tokenizer_10000_pairs.json").read_text())
    tokenizer = import_pickle(folder / "ecg_byte_tokenizer_10000.pkl")
    assert tokenizer.merges.tolist() == expected


class Payload:
    """Would write a file when unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("protocol", range(6))
def test_no_code_in_a_pickle_ever_runs(tmp_path, protocol):
    target = tmp_path / "written_by_payload"
    path = tmp_path / "bad.pkl"
    path.write_bytes(pickle.dumps(({0: Payload(str(target))}, []), protocol=protocol))
    with pytest.raises(TokenizerError):
        import_pickle(path)
    assert not target.exists()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"N.",
        b"}.",
        b"\x80\x04",
        b"\x80\x04e.",
        b"\x80\x04]",
        b"\x80\x04](.",
        b"\x80\x04}K\x01e.",
        b"\x80\x04h\x07.",
        b"\x80\x04}(K\x01u.",
        b"\x80\x04}(]K\x01u.",
        b"\x80\x04r\xff\xff\xff\xff.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"cos\nsystem\n(S'true'\ntR.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
    ],
)
def test_damaged_pickles_are_refused(tmp_path, data):
    path = tmp_path / "bad.pkl"
    path.write_bytes(data)
    with pytest.raises(TokenizerError):
        import_pickle(path)


def test_inconsistent_contents_are_refused(tmp_path, pairs):
    vocab, merges = reference_form(pairs)
    wrong = [
        [],
        (vocab, {}),
        (vocab, merges[:-1]),
        ({**vocab, 256: "xx"}, merges),
        (vocab, [*merges[:-1], ([109, 300], 255 + len(merges))]),
        (vocab, [*merges[:-1], ([109], 255 + len(merges))]),
        (vocab, [*merges[:-1], (merges[-1][0], 5)]),
        ({i: name for i, name in vocab.items() if i != 3}, merges),
    ]
    for number, value in enumerate(wrong):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(pickle.dumps(value, protocol=4))
        with pytest.raises(TokenizerError):
            import_pickle(path)
    # a spelling that no pair of earlier ids makes
    bad = (
        {**{i: chr(i) if i < 128 else f"<{i}>" for i in range(256)}, 256: "abc"},
        [([97, 98, 99], 256)],
    )
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(bad, protocol=4))
    with pytest.raises(TokenizerError, match="leave 3 pieces"):
        import_pickle(tmp_path / "bad.pkl")


def test_plain_values_are_read():
    value = ([1, 2.5 // 1 == 2.0 and 300, 70_000, -5, 2**40], {"a": (), "b": (1,)}, ("é", [[]]))
    for protocol in (2, 4, 5):
        assert read_plain_pickle(pickle.dumps(value, protocol=protocol)) == value


@pytest.mark.parametrize("mode", ["greedy", "bpe"])
def test_hugging_face_gives_equal_ids(tmp_path, mode):
    tokenizers = pytest.importorskip("tokenizers")
    generator = random.Random(1)
    letters = "klmnop"
    weights = (1, 4, 20, 12, 2, 1)
    texts = ["".join(generator.choices(letters, weights, k=600)) for _ in range(40)]
    trained = twin.train([text.encode() for text in texts[:20]], 200)[0]
    tokenizer = EcgTokenizer(checked_merges(trained), mode)
    path = export_huggingface(tokenizer, mode, tmp_path / "export")
    loaded = tokenizers.Tokenizer.from_file(str(path))
    assert loaded.get_vocab_size() == tokenizer.num_ids
    for text in [*texts, "", "m", "mm xx\n0", "é <128> mmmm"]:
        ids = loaded.encode(text, add_special_tokens=False).ids
        assert ids == tokenizer.encode_bytes(text.encode()).tolist()
        assert loaded.decode(ids, skip_special_tokens=False) == text


def test_hugging_face_limits_are_explained():
    with pytest.raises(TokenizerError, match="same bytes"):
        huggingface_form(EcgTokenizer([[97, 98], [98, 99], [256, 99], [97, 257]]), "bpe")
    with pytest.raises(TokenizerError, match="non-ASCII"):
        huggingface_form(EcgTokenizer([[200, 98]]), "greedy")
    with pytest.raises(TokenizerError, match="mode"):
        export_huggingface(EcgTokenizer([]), "x", "nowhere")
