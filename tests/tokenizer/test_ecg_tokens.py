"""The face of ECG tokens: ECG-BPE behind it, files by kind, spans on leads."""

import json

import numpy as np
import pytest
import torch
from toy_tokens import LeadLevels

from ecg_fairseq.errors import EcgError, TokenizerError
from ecg_fairseq.plot.spans import StripSpan, spans_on_strips
from ecg_fairseq.signal.recipes import get_recipe
from ecg_fairseq.tokenizer import EcgTokenizer, EcgTokens, Quantizer, open_tokens
from ecg_fairseq.tokenizer.ecg_tokens import tokens_from_state

RECIPE = get_recipe("ecg_byte")
BPE = EcgTokenizer(
    [[109, 109], [256, 256], [257, 257], [258, 258], [97, 97]],
    quantizer=Quantizer(-1.0, 1.0),
    recipe={"name": RECIPE.name, "hash": RECIPE.hash()},
)


def segments(count: int = 3) -> np.ndarray:
    """Noise (B, L, T) with a flat stretch over the border between the first two leads."""
    signal = np.random.default_rng(0).uniform(-1, 1, (count, *RECIPE.shape)).astype(np.float32)
    signal[:, 0, -23:] = signal[:, 1, :17] = -0.03
    return signal


@pytest.mark.parametrize("tokens", [BPE, LeadLevels.of(RECIPE, 8)], ids=["ecg_bpe", "levels"])
def test_every_kind_keeps_the_protocol(tokens, tmp_path):
    assert isinstance(tokens, EcgTokens)
    signal = segments()
    encoded = tokens.encode(signal)
    assert len(encoded) == 3
    for ids, segment in zip(encoded, signal, strict=True):
        assert ids.dtype == np.int64
        assert ids.ndim == 1
        assert set(ids.tolist()) <= set(tokens.emitted_ids().tolist())
        assert ids.max() < tokens.num_ids
        decoded = tokens.decode(ids)
        assert decoded.shape == RECIPE.shape
        assert decoded.dtype == np.float32
        assert np.abs(decoded - segment).max() <= 0.25 + 1e-6
        spans = tokens.spans(ids)
        assert spans.dtype == np.int64
        assert spans.shape == (len(ids), 3)
        covered = np.zeros(RECIPE.shape, dtype=int)
        for piece in spans_on_strips(spans, RECIPE.strips):
            covered[piece.strip, piece.start : piece.end] += 1
        assert (covered == 1).all()
    tokens.save(tmp_path / "tokens.json")
    for again in (
        open_tokens(tmp_path / "tokens.json"),
        tokens_from_state(tokens.kind, tokens.state()),
    ):
        assert type(again) is type(tokens)
        assert again.sha256() == tokens.sha256()
        assert all(
            np.array_equal(*pair) for pair in zip(again.encode(signal), encoded, strict=True)
        )


def test_encode_gives_the_ids_of_encode_signals():
    signal = segments()
    flat = BPE.encode_signals(signal.reshape(3, -1))
    for ids, expected in zip(BPE.encode(signal), flat, strict=True):
        assert ids.tolist() == expected.tolist()
        assert np.array_equal(BPE.decode(ids).reshape(-1), BPE.decode_signal(ids))


def test_a_token_over_the_border_goes_on_in_the_next_lead():
    (ids,) = BPE.encode(segments(1))
    spans = BPE.spans(ids)
    length = RECIPE.shape[1]
    crossing = spans[spans[:, 2] > length]
    assert crossing.tolist() == [[0, 493, 509]]  # 23 + 17 equal letters: 16 + 16 + 8 symbols
    pieces = spans_on_strips(spans, RECIPE.strips)
    number = int(np.flatnonzero(spans[:, 2] > length)[0])
    assert [p for p in pieces if p.number == number] == [
        StripSpan(0, 493, 500, number),
        StripSpan(1, 0, 9, number),
    ]
    assert pieces == spans_on_strips(BPE.symbol_spans(ids), RECIPE.strips)


def test_tokens_of_all_leads_have_a_piece_on_every_strip():
    spans = np.array([[-1, 0, 16], [-1, 16, 32]])
    pieces = spans_on_strips(spans, RECIPE.strips)
    assert pieces[:2] == [StripSpan(0, 0, 16, 0), StripSpan(1, 0, 16, 0)]
    assert len(pieces) == 24
    with pytest.raises(TokenizerError, match="do not belong together"):
        spans_on_strips(np.array([[-1, 0, 501]]), RECIPE.strips)
    with pytest.raises(TokenizerError, match="name leads 12 to 12"):
        spans_on_strips(np.array([[12, 0, 5]]), RECIPE.strips)


def test_files_are_opened_by_kind(tmp_path):
    path = tmp_path / "tokens.json"
    path.write_text(json.dumps({**BPE.to_dict(), "kind": "ecg_bpe"}))
    assert open_tokens(path).sha256() == BPE.sha256()
    for kind in ("vq", 7, ["ecg_bpe"]):
        path.write_text(json.dumps({"kind": kind}))
        with pytest.raises(TokenizerError, match=r"tokens\.json holds ECG tokens of kind .*knows"):
            open_tokens(path)
    path.write_text("[]")
    with pytest.raises(TokenizerError, match="not a tokenizer of this project"):
        open_tokens(path)
    with pytest.raises(EcgError, match=r"nothing\.json"):
        open_tokens(tmp_path / "nothing.json")
    with pytest.raises(TokenizerError, match="the checkpoint holds ECG tokens of kind 'vq'"):
        tokens_from_state("vq", "{}")
    for damaged in ("{", None, {"a": torch.zeros(1)}):
        with pytest.raises(TokenizerError):
            tokens_from_state("ecg_bpe", damaged)


def test_what_a_tokenizer_of_text_cannot_do_is_said():
    bare = EcgTokenizer([[109, 109]], quantizer=Quantizer(-1.0, 1.0))
    (ids,) = bare.encode(np.zeros((1, 2, 10), dtype=np.float32))
    for method in (bare.decode, bare.spans):
        with pytest.raises(TokenizerError, match="names no recipe"):
            method(ids)
    with pytest.raises(TokenizerError, match=r"6001 values.*6000"):
        BPE.spans(np.full(6001, 109))
    with pytest.raises(TokenizerError, match=r"3 values.*shape \(12, 500\)"):
        BPE.decode(np.full(3, 109))
