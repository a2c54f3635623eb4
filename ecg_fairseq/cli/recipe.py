"""``ecg-fairseq recipe NAME [RECORD]``: what a recipe does, step by step, to a record if given."""

import argparse
import json
import sys
from pathlib import Path

import numpy as np

from ecg_fairseq.errors import EcgError
from ecg_fairseq.signal.leads import CANONICAL_LEADS
from ecg_fairseq.signal.recipe import Recipe, Step
from ecg_fairseq.signal.recipes import RECIPE_NAMES, get_recipe


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's options."""
    parser.add_argument("name", metavar="NAME", help=f"one of {', '.join(RECIPE_NAMES)}")
    parser.add_argument("record", nargs="?", type=Path, metavar="RECORD", help="a recording")
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw every step of RECORD")
    parser.add_argument("--lead", default="II", help="lead to draw (default II)")
    parser.add_argument("--json", action="store_true", help="print name, hash, constants, layout")


def run(arguments: argparse.Namespace) -> int:
    """Print the recipe's constants and steps."""
    recipe = get_recipe(arguments.name)
    if arguments.json:
        print(json.dumps({**recipe.describe(), "layout": recipe.layout()}))
        return 0
    if arguments.plot and not arguments.record:
        raise EcgError("--plot needs a RECORD to draw; give one, or leave --plot out")
    steps, source = _steps(recipe, arguments.record)
    if arguments.plot:
        _draw(steps, arguments.lead, recipe.unit, arguments.plot)
        print(f"drawn: {arguments.plot}", file=sys.stderr)
    print(f"recipe {recipe.name}, version {recipe.version}, hash {recipe.hash()[:16]}")
    print(f"segment: shape {recipe.shape}, in {recipe.unit}, in the order {_strips(recipe)}")
    print(f"steps{source}:")
    for number, (name, explanation, array) in enumerate(steps, 1):
        line = f"{number}. {name}: {explanation}"
        print(f"{line}\n   {_figures(array)}" if arguments.record else line)
    print("constants:")
    for key, value in recipe.constants().items():
        if key not in ("name", "version"):
            print(f"  {key} = {value}")
    return 0


def _strips(recipe: Recipe) -> str:
    return ", ".join(f"{strip.lead} {strip.kind} {strip.num_samples}" for strip in recipe.strips)


def _steps(recipe: Recipe, path: Path | None) -> tuple[list[Step], str]:
    if path is None:
        # A flat recording of the usual form: only the explanations are of interest.
        return recipe.steps(np.zeros((12, 5000)), CANONICAL_LEADS, 500.0), ""
    from ecg_fairseq.records.readers.any_format import read_record

    record = read_record(path)
    source = f" on {path} ({len(record.leads)} leads, {record.seconds:g} s at {record.fs_hz:g} Hz)"
    return recipe.steps(record.signal, record.leads, record.fs_hz), source


def _figures(array: np.ndarray) -> str:
    if array.size == 0:
        return "nothing"
    if array.dtype.kind == "i":
        return f"{array.size} values: {' '.join(map(str, array[:12]))}"
    return f"shape {array.shape}, {array.min():.3f} to {array.max():.3f}, sd {array.std():.3f}"


def _draw(steps: list[Step], lead: str, unit: str, path: Path) -> None:
    """Draw one lead of every step above each other, before on top; ``unit`` is the segments'."""
    import io

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from ecg_fairseq.files import atomic_write

    order = steps[0][1].partition(": ")[2].split()
    if lead not in order:
        raise EcgError(f"--lead {lead}; the recipe has {', '.join(order)}")
    row = order.index(lead)
    shown = [step for step in steps if step[2].dtype.kind == "f" and step[2].size]
    figure, axes = plt.subplots(len(shown), 1, figsize=(12, 2 * len(shown)), squeeze=False)
    for axis, (name, _, array) in zip(axes[:, 0], shown, strict=True):
        is_lead = name != "segments" and len(array) == len(order)
        axis.plot(array[row] if is_lead else array[0].ravel(), linewidth=0.7, color="black")
        axis.set_title(f"{name} ({lead})" if is_lead else name, fontsize=9, loc="left")
        axis.set_ylabel(unit if name == "segments" else "")
        axis.margins(x=0)
    figure.tight_layout()
    picture = io.BytesIO()
    figure.savefig(picture, dpi=100, format=path.suffix.lstrip(".") or "png")
    plt.close(figure)
    with atomic_write(path, "wb") as stream:
        stream.write(picture.getvalue())
