"""The ECG tokenizer of a manifest: the one that its ``meta.json`` or the settings name."""

from ecg_fairseq.errors import ManifestError
from ecg_fairseq.records.manifest.folder import Manifest
from ecg_fairseq.records.manifest.provenance import check_registered
from ecg_fairseq.tokenizer import EcgTokens, open_tokens


def registered_tokenizer(manifest: Manifest, path: str | None) -> EcgTokens:
    """Load the tokenizer named in the settings, else the manifest's.

    Args:
        manifest: whose signals are to be encoded.
        path: what ``task.ecg_tokenizer`` says.

    Raises:
        ManifestError: there is none, or the file is not the one that was registered.
    """
    if path is not None:
        return open_tokens(path)
    entry = manifest.meta.get("tokenizer")
    if not entry:
        raise ManifestError(
            f"{manifest.path} has no tokenizer yet: run `ecg-fairseq tokenizer train --input "
            f"{manifest.path} --num-merges N --out tokenizer.json`, or set task.ecg_tokenizer"
        )
    file = manifest.path / entry["path"]
    tokenizer = open_tokens(file)
    check_registered(tokenizer.sha256(), entry["sha256"], file)
    return tokenizer
