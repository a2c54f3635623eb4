"""Figures and pictures of FSQ tokens on manifests, for ``ecg-fairseq tokenizer stats``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecg_fairseq.errors import TokenizerError
from ecg_fairseq.tokenizer.ecg_tokens import EcgTokens
from ecg_fairseq.tokenizer.fsq import figures, usage
from ecg_fairseq.tokenizer.fsq.tokens import FsqTokens

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def describe_usage(
    tokens: FsqTokens,
    inputs: Sequence[Path],
    split: str,
    limit: int | None,
    against: EcgTokens | None,
) -> "tuple[dict[str, Any], dict[str, Figure]]":
    """Return all figures as JSON types, and pictures by file name.

    Args:
        tokens: of an autoencoder.
        inputs: manifest folders.
        split: of each.
        limit: at most so many segments of each; None for all.
        against: other FSQ tokens, to be compared id by id.

    Raises:
        TokenizerError: no manifest, no records, or ``against`` is of another kind or other levels.
        ManifestError: a manifest is damaged or of another recipe.
    """
    if against is not None and not isinstance(against, FsqTokens):
        raise TokenizerError(
            f"--against is of kind {against.kind}; FSQ tokens are compared with FSQ tokens"
        )
    corpora = [usage.FsqCorpus(path, split, tokens, limit) for path in inputs]
    usages = [usage.measure_usage(corpus) for corpus in corpora]
    result: dict[str, Any] = {
        "tokenizer": {
            "sha256": tokens.sha256(),
            "kind": tokens.kind,
            "levels": list(tokens.levels),
            "samples_per_token": tokens.samples_per_token,
        },
        "corpora": [one.to_dict() for one in usages],
        "shared_usage": usage.usage_overlap(usages),
    }
    if against is not None:
        result["agreement"] = [usage.agreement(corpus, against) for corpus in corpora]
    pictures = {"usage.png": figures.usage_figure(usages)}
    if tokens.has_decoder:
        for number, corpus in enumerate(corpora):
            pictures[f"reconstruction_{number}.png"] = figures.reconstruction_figure(corpus)
    return result, pictures
