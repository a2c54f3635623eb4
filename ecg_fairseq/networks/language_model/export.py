"""Writes a trained system in Hugging Face layout, for use without this package.

A full model (or a LoRA model merged into it) goes out as ``config.json`` + ``model.safetensors``; a
LoRA model over a named base as a peft adapter. Beside it: the text tokenizer with the ECG tokens
added, the ECG tokenizer, the recipe and a model card.
"""

import contextlib
import copy
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
from ecg_fairseq.networks.language_model.language_model import drops_bias, trained_tables
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
    drops_a_bias = any(drops_bias(table) for table in trained_tables(network.llm))
    # An adapter folder holds no norms, so they travel in a merged model; so do trained rows of a
    # head with a bias where nothing but rows trains.
    if (
        merge
        or network.has_random_base
        or "norms" in trains
        or (drops_a_bias and "lora" not in trains)
    ):
        network.llm.merge_and_unload().save_pretrained(folder)
        return "model"
    if drops_a_bias:
        _write_whole_tables(network.llm, folder)
        return "adapter"
    # Frozen new rows live in the resized table itself, so that table must travel along.
    network.llm.save_pretrained(folder, save_embedding_layers="new_rows" not in trains)
    return "adapter"


def _write_whole_tables(llm: Any, folder: Path) -> None:
    """Write an adapter with whole tables in place of trained rows.

    Plain peft leaves the bias of an output table out where it trains its rows; a table that it only
    loads keeps it.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    tables = {id(table): table for table in trained_tables(llm)}
    state = get_peft_model_state_dict(llm, save_embedding_layers=False)
    state = {name: tensor for name, tensor in state.items() if "token_adapter" not in name}
    for name, module in llm.named_modules():
        table = tables.get(id(module))
        if table is not None:
            place = name.removesuffix(".token_adapter")
            merged = table.get_merged_weights(table.active_adapters)
            state[f"{place}.weight"] = merged
            if getattr(table.get_base_layer(), "bias", None) is not None:
                state[f"{place}.bias"] = table.get_base_layer().bias
    save_file(
        {name: tensor.detach().clone().contiguous() for name, tensor in state.items()},
        folder / "adapter_model.safetensors",
        metadata={"format": "pt"},
    )
    settings = copy.deepcopy(llm.peft_config["default"])
    settings.trainable_token_indices = None
    settings.inference_mode = True
    settings.save_pretrained(folder)


def _write_generation_settings(system: TrainedSystem, folder: Path) -> None:
    """Write settings with which plain ``generate`` answers as we do: greedily, text rows only.

    transformers fills whatever is not named in from the base's own settings, so all that a base may
    ask for (penalties, beams, lengths, forbidden words) is named with what has no effect.
    """
    from transformers import GenerationConfig

    vocabulary, longest = system.vocabulary, system.longest_answer
    GenerationConfig(
        do_sample=False,
        num_beams=1,
        num_return_sequences=1,
        max_new_tokens=longest,
        min_length=0,
        min_new_tokens=0,
        repetition_penalty=1.0,
        encoder_repetition_penalty=1.0,
        no_repeat_ngram_size=0,
        encoder_no_repeat_ngram_size=0,
        exponential_decay_length_penalty=[longest, 1.0],
        guidance_scale=1.0,
        renormalize_logits=False,
        remove_invalid_values=False,
        token_healing=False,
        begin_suppress_tokens=[],
        # Only a list that is not empty replaces a base's; padding is suppressed below.
        bad_words_ids=[[vocabulary.pad_id]],
        bos_token_id=vocabulary.bos_id,
        eos_token_id=vocabulary.eos_id,
        pad_token_id=vocabulary.pad_id,
        suppress_tokens=list(range(vocabulary.num_answer_rows, vocabulary.size)),
    ).save_pretrained(folder)


def _write_text_tokenizer(system: TrainedSystem, folder: Path) -> None:
    """Write the text tokenizer with one added token per new row."""
    vocabulary = system.vocabulary
    tokenizer = _within_rows(system.text_tokenizer.tokenizer, vocabulary.num_text_rows)
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


def _within_rows(tokenizer: Any, num_rows: int) -> Any:
    """Return a tokenizer without special tokens that have no row in the base's table."""
    if len(tokenizer) <= num_rows:
        return tokenizer
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    state = json.loads(tokenizer.backend_tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["id"] < num_rows]
    names = ("bos_token", "eos_token", "unk_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(state)),
        **{name: getattr(tokenizer, name) for name in names},
    )


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
