"""Writes a trained system in Hugging Face layout, for use without this package.

A full model (or a LoRA model merged into it) goes out as ``config.json`` + ``model.safetensors``; a
LoRA model over a named base as a peft adapter. Beside it: the text tokenizer with the ECG tokens
added, the ECG tokenizer, the recipe and a model card.
"""

import contextlib
import glob
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from ecg_fairseq import __version__
from ecg_fairseq.errors import CheckpointError, EcgError, first_line
from ecg_fairseq.files import write_json
from ecg_fairseq.folder_lock import locked_beside
from ecg_fairseq.networks.language_model.answering import DecodingOptions
from ecg_fairseq.networks.language_model.model_card import model_card
from ecg_fairseq.networks.language_model.trained_system import TrainedSystem, load_trained_system

# Between a folder's name and what tempfile adds, while it is being written.
_UNFINISHED = ".export-"


def export_checkpoint(
    checkpoint: Path | str, out: Path | str, merge: bool, results: dict[str, Any] | None = None
) -> Path:
    """Export a checkpoint.

    Args:
        checkpoint: file of a trained ``ecg_llm``.
        out: new folder.
        merge: write one full model even where an adapter over a named base would do.
        results: figures for the model card (a quickstart's ``results.json``).

    Raises:
        EcgError: ``out`` exists already or cannot be written.
    """
    check_is_free(out)
    return export_system(load_trained_system(checkpoint), out, merge, results)


def check_is_free(out: Path | str) -> None:
    """Refuse a folder that holds something already; EcgError."""
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise EcgError(f"{out} exists and is not empty; choose a new folder for --out")


def export_system(
    system: TrainedSystem, out: Path | str, merge: bool, results: dict[str, Any] | None = None
) -> Path:
    """Export a system that was opened; arguments and errors as :func:`export_checkpoint`."""
    check_is_free(out)
    out = Path(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with (
            locked_beside(out, "export"),
            _unfinished_folder(out) as temporary,
        ):
            folder = Path(temporary) / "export"
            folder.mkdir()
            _write_all(system, folder, merge, results)
            if out.exists():
                out.rmdir()
            shutil.move(folder, out)
    except (OSError, SafetensorError) as cause:
        raise EcgError(
            f"cannot write {out}: {first_line(cause)}; free some space or choose another folder "
            "for --out (nothing was written under that name)"
        ) from cause
    return out


@contextlib.contextmanager
def _unfinished_folder(out: Path) -> Iterator[str]:
    """Give a folder beside ``out`` for the export in the making; killed ones leave theirs."""
    prefix = f".{out.name}{_UNFINISHED}"
    for left in out.parent.glob(f"{glob.escape(prefix)}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=out.parent) as temporary:
        yield temporary


def _write_all(
    system: TrainedSystem, folder: Path, merge: bool, results: dict[str, Any] | None
) -> None:
    """Write every file of an export."""
    kind = _write_weights(system, folder, merge)
    _write_generation_settings(system, folder)
    _write_text_tokenizer(system, folder)
    system.ecg_tokenizer.save(folder / "ecg_tokenizer.json")
    write_json(folder / "recipe.json", system.recipe.describe())
    write_json(folder / "ecg_fairseq.json", _description(system, kind))
    (folder / "README.md").write_text(model_card(system, kind, results), encoding="utf-8")


def _write_weights(system: TrainedSystem, folder: Path, merge: bool) -> str:
    """Write the weights; return ``model`` or ``adapter``."""
    network = system.model
    trains = network.config.trains
    if not hasattr(network.llm, "merge_and_unload"):
        network.llm.save_pretrained(folder)
        return "model"
    # An adapter folder holds no norms, so they travel in a merged model.
    if merge or network.has_random_base or "norms" in trains:
        network.llm.merge_and_unload().save_pretrained(folder)
        return "model"
    # Frozen new rows live in the resized table itself, so that table must travel along.
    network.llm.save_pretrained(folder, save_embedding_layers="new_rows" not in trains)
    return "adapter"


def _write_generation_settings(system: TrainedSystem, folder: Path) -> None:
    """Write settings with which plain ``generate`` answers as we do: greedily, text rows only."""
    from transformers import GenerationConfig

    vocabulary = system.vocabulary
    GenerationConfig(
        do_sample=False,
        max_new_tokens=DecodingOptions().max_new_tokens,
        bos_token_id=vocabulary.bos_id,
        eos_token_id=vocabulary.eos_id,
        pad_token_id=vocabulary.pad_id,
        suppress_tokens=list(range(vocabulary.num_answer_rows, vocabulary.size)),
    ).save_pretrained(folder)


def _write_text_tokenizer(system: TrainedSystem, folder: Path) -> None:
    """Write the text tokenizer with one added token per new row."""
    vocabulary = system.vocabulary
    tokenizer = system.text_tokenizer.tokenizer
    unused = [f"<unused_row_{i}>" for i in range(len(tokenizer), vocabulary.num_text_rows)]
    names = vocabulary.new_names()
    # All special, so that split_special_tokens=True keeps "signal_97" in a question plain text.
    tokenizer.add_tokens([*unused, *names], special_tokens=True)
    tokenizer.pad_token = vocabulary.rows.pad
    for row, name in enumerate(names, start=vocabulary.num_text_rows):
        if tokenizer.convert_tokens_to_ids(name) != row:
            raise CheckpointError(
                f"the text tokenizer holds a token named {name} of its own, so the exported ids "
                "would not fit the model; rename that token"
            )
    tokenizer.save_pretrained(folder)


def _description(system: TrainedSystem, kind: str) -> dict[str, Any]:
    """Return what a program needs to build prompts."""
    vocabulary = system.vocabulary
    return {
        "format": "ecg_fairseq.export",
        "version": 1,
        "ecg_fairseq": __version__,
        "weights": kind,
        "base": system.model.config.llm,
        "num_text_rows": vocabulary.num_text_rows,
        "num_rows": vocabulary.size,
        "bos_id": vocabulary.bos_id,
        "eos_id": vocabulary.eos_id,
        **{
            f"{name.strip('<>')}_id": vocabulary.row_of(name)
            for name in ("<sig_start>", "<sig_end>")
            if name in vocabulary.rows.special_names
        },
        "pad_id": vocabulary.pad_id,
        "row_of_special": {name: vocabulary.row_of(name) for name in vocabulary.rows.special_names},
        "row_of_ecg_id": {
            str(k): vocabulary.first_ecg_row + i for i, k in enumerate(vocabulary.ecg_ids)
        },
        "prompt": _prompt_in_words(system),
        "prompt_layout": system.layout.to_dict(),
        "max_sequence": system.max_sequence,
        "split_hash": system.split_hash,
        "provenance": system.source.to_state(is_text=True),
        "recipe": json.loads(json.dumps(system.recipe.describe())),
        "num_updates": system.num_updates,
    }


def _prompt_in_words(system: TrainedSystem) -> list[str]:
    """Return the pieces of a sequence about one recording, for people."""
    words: list[str] = []
    for piece in system.layout.pieces:
        if piece.kind == "ecg":
            words += [word for word in (piece.start, "ECG", piece.end) if word]
        elif piece.kind == "text":
            words.append(piece.filled(question="question", header="header"))
        else:
            words.append(piece.row or {"bos": "<bos>", "eos": "<eos>"}.get(piece.kind, piece.kind))
    return words
