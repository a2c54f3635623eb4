"""The compiled core against the twin: a small share of scripts/fuzz_tokenizer.py, and its API."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.tokenizer import EcgTokenizer, Quantizer, core, twin
from ecg_fairseq.tokenizer.merges import checked_merges

ecg_bpe = pytest.importorskip("ecg_bpe", reason="the compiled core is not built")


@pytest.fixture(scope="module")
def fuzz(project_dir):
    path = project_dir / "scripts" / "fuzz_tokenizer.py"
    spec = importlib.util.spec_from_file_location("fuzz_tokenizer", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_fuzz_share(fuzz, seed):
    done = fuzz.run(4000, seed)
    assert done.total() >= 4000
    assert len(done) >= 7


def test_fuzz_would_notice_a_difference(fuzz, monkeypatch):
    wrong = lambda data, rank: [*data]  # noqa: E731 - never merges
    monkeypatch.setattr(twin, "join_by_rank", wrong)
    with pytest.raises(fuzz.Difference):
        fuzz.run(4000, 1)


def test_a_full_recount_gives_the_same_merges():
    text = bytes(np.random.default_rng(5).integers(97, 101, 3000).astype(np.uint8))
    merges, counts = ecg_bpe.train_by_recount([text, text[:100]], 120)
    assert (list(map(tuple, merges.tolist())), counts.tolist()) == twin.train(
        [text, text[:100]], 120
    )


def test_refusals_are_value_errors():
    merges = np.array([[97, 98]])
    with pytest.raises(ValueError, match="mode"):
        ecg_bpe.Encoder(merges, "other")
    with pytest.raises(ValueError, match="ids end at"):
        ecg_bpe.Encoder(np.array([[300, 98]]), "bpe")
    with pytest.raises(ValueError, match="array of ids"):
        ecg_bpe.Encoder(np.array([[-1, 98]]), "bpe")
    with pytest.raises(ValueError, match="does not exist"):
        ecg_bpe.Encoder(merges, "bpe").decode(np.array([257]))
    with pytest.raises(TypeError):
        ecg_bpe.Encoder(merges.astype(np.float32), "bpe")
    trainer = ecg_bpe.Trainer(5)
    trainer.run(1, 1.0)
    with pytest.raises(ValueError, match="after training"):
        trainer.add(np.zeros(3, dtype=np.uint8))
    with pytest.raises(ValueError, match="more than"):
        ecg_bpe.Trainer(5).reserve(1 << 33)
    with pytest.raises(ValueError, match="merges wanted"):
        ecg_bpe.Trainer(1 << 40)
    with pytest.raises(OverflowError):
        ecg_bpe.Trainer(-1)


def test_huge_tables_are_refused_in_words():
    # 256 letters and tokens of a million bytes: more than the look-up table may hold
    merges = [[97 + k, 98 + k] for k in range(100)]
    merges += [[355, 355]] + [[355 + k, 355 + k] for k in range(1, 19)]
    with pytest.raises(TokenizerError, match="look-up table"):
        core.make_encoder(checked_merges(merges + [[0, k] for k in range(256)]), "greedy")


def test_batches_work_in_forked_workers():
    code = """
import os
import numpy as np
from ecg_fairseq.tokenizer import EcgTokenizer
tokenizer = EcgTokenizer([[97, 97]])
texts = [b"aaab" * 1000] * 64
expected = [x.tolist() for x in tokenizer.encode_batch(texts, 2)]
child = os.fork()
if child == 0:
    same = [x.tolist() for x in tokenizer.encode_batch(texts, 2)] == expected
    os._exit(0 if same else 3)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60, check=False)
    assert done.returncode == 0


def test_without_the_core_the_twin_works_and_warns_once(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "ecg_bpe", None)
    core.compiled_core.cache_clear()
    try:
        values = np.random.default_rng(0).normal(0, 0.4, (3, 100))
        for mode in core.MODES:
            tokenizer = EcgTokenizer([[109, 109], [256, 110]], mode, Quantizer(-1.0, 1.0))
            ids = tokenizer.encode_signals(values)
            assert isinstance(tokenizer._encoder, twin.Encoder)
            assert [len(tokenizer.decode_bytes(one)) for one in ids] == [100] * 3
        warnings = [record for record in caplog.records if "Python twin" in record.message]
        assert len(warnings) == 1
    finally:
        core.compiled_core.cache_clear()
