"""The compiled core on arrays of any memory order and alignment: the same result, or refused."""

from types import SimpleNamespace

import numpy as np
import pytest

from ecg_fairseq.signal import filters, normalizing, rate_change
from ecg_fairseq.signal.compiled import compiled_core
from ecg_fairseq.tokenizer import EcgTokenizer
from ecg_fairseq.tokenizer.quantizer import Quantizer

core = compiled_core()
needs_core = pytest.mark.skipif(core is None, reason="the compiled core is not installed")
MERGES = np.array([[109, 109], [256, 110]], dtype=np.int64)


def misaligned(array: np.ndarray) -> np.ndarray:
    """Return a copy that begins at an odd address."""
    memory = np.empty(array.nbytes + 1, dtype=np.uint8)
    moved = memory[1:].view(array.dtype).reshape(array.shape)
    moved[...] = array
    assert not moved.flags.aligned
    return moved


def strided(array: np.ndarray) -> np.ndarray:
    """Return a view that skips every other entry of its memory."""
    return np.repeat(array, 2, axis=-1)[..., ::2]


ORDERS = {"Fortran": np.asfortranarray, "misaligned": misaligned, "strided": strided}


@needs_core
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_of_any_memory_order_give_the_same_ids(order, dtype):
    values = np.random.default_rng(0).normal(0, 0.4, (5, 37)).astype(dtype)
    encoder, quantizer = core.Encoder(MERGES, "greedy"), Quantizer(-1.0, 1.0)
    expected = [ids.tolist() for ids in encoder.encode_signals(values, quantizer)]
    found = encoder.encode_signals(ORDERS[order](values), quantizer)
    assert [ids.tolist() for ids in found] == expected
    assert len({tuple(ids) for ids in expected}) == 5


@needs_core
@pytest.mark.parametrize("order", ORDERS)
def test_merges_ids_and_texts_may_lie_in_any_order(order):
    change = ORDERS[order]
    encoder = core.Encoder(change(MERGES), "bpe")
    ids = encoder.encode(b"mmnab").astype(np.int64)
    assert ids.tolist() == [257, 97, 98]
    assert encoder.decode(change(ids)) == b"mmnab"
    trainers = [core.Trainer(3), core.Trainer(3)]
    text = np.frombuffer(b"abababcabc", dtype=np.uint8)
    trainers[0].add(text)
    trainers[1].add(strided(text))
    assert trainers[0].run(3, 9.0) == trainers[1].run(3, 9.0)
    assert trainers[0].merges().tolist() == trainers[1].merges().tolist()


@needs_core
@pytest.mark.parametrize("number", [0, 160, 255, 256, -1, 2**40])
def test_numbers_of_symbols_without_letters_are_refused(number):
    encoder = core.Encoder(MERGES, "greedy")
    values = np.zeros((1, 3))
    with pytest.raises(ValueError, match=rf"num_symbols must be 1\.\.159, got {number}"):
        encoder.encode_signals(values, SimpleNamespace(low=-1.0, scale=2.0, num_symbols=number))
    last = SimpleNamespace(low=-1.0, scale=2.0, num_symbols=159)
    assert (
        encoder.decode(encoder.encode_signals(values + 9, last)[0].astype(np.int64)) == b"\xff" * 3
    )


@needs_core
@pytest.mark.parametrize("order", ORDERS)
def test_loops_of_the_signal_path_take_any_order(order):
    random = np.random.default_rng(1)
    signal = random.normal(0, 0.1, (4, 900)).cumsum(axis=1)
    chosen = filters.notch(50.0, 30.0, 500.0)
    change = ORDERS[order]
    arrays = (chosen.numerator, chosen.denominator, chosen.initial_state)
    expected = core.zero_phase(signal, *arrays, chosen.padding)
    found = core.zero_phase(change(signal), *map(strided, arrays), chosen.padding)
    np.testing.assert_array_equal(found, expected)
    grid = rate_change._linear_grid(900, 1100)
    expected = core.interpolate_leads(signal, *grid)
    np.testing.assert_array_equal(
        core.interpolate_leads(change(signal), *map(strided, grid)), expected
    )
    with pytest.raises(ValueError, match="in place must be C-contiguous and aligned"):
        core.standardise_leads(change(signal), np.zeros(4, dtype=bool), 1e-9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_package_takes_any_order_with_any_core(order, dtype):
    change = ORDERS[order]
    signal = np.random.default_rng(2).normal(0, 0.1, (4, 900)).cumsum(axis=1).astype(dtype)
    chosen = filters.notch(50.0, 30.0, 500.0)
    pairs = [
        (filters.zero_phase(change(signal), chosen), filters.zero_phase(signal, chosen)),
        (
            rate_change.resample_linear(change(signal), 1100),
            rate_change.resample_linear(signal, 1100),
        ),
        (normalizing.standardise(change(signal)).values, normalizing.standardise(signal).values),
        (
            normalizing.standardise(change(signal.copy()), overwrite=True).values,
            normalizing.standardise(signal).values,
        ),
    ]
    for found, expected in pairs:
        np.testing.assert_array_equal(found, expected)
    tokenizer = EcgTokenizer(MERGES, quantizer=Quantizer(-1.0, 1.0))
    found = tokenizer.encode_signals(change(signal))
    expected = tokenizer.encode_signals(signal)
    assert [ids.tolist() for ids in found] == [ids.tolist() for ids in expected]


@needs_core
def test_type_stubs_name_everything_in_the_core():
    import ast
    from pathlib import Path

    stub = Path(__file__).resolve().parents[2] / "rust_bpe/ecg_bpe.pyi"
    named: dict[str, set[str]] = {}
    for node in ast.parse(stub.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            members = getattr(node, "body", []) if isinstance(node, ast.ClassDef) else []
            named[node.name] = {item.name for item in members if isinstance(item, ast.FunctionDef)}
    module = getattr(core, "ecg_bpe", core)
    there = {name for name in dir(module) if not name.startswith("_")}
    assert {name for name in named if not name.startswith("_")} == there
    for name in ("Encoder", "Trainer"):
        public = {item for item in dir(getattr(module, name)) if not item.startswith("_")}
        assert named[name] - {"__new__"} == public
