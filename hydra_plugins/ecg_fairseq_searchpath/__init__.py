"""Hydra plugin: makes ``fairseq-hydra-train --config-name NAME`` find the shipped YAMLs.

It adds the package's config folder to hydra's search path and registers the resolver
``ecg_fairseq_dir``, which gives fairseq the user directory without importing the package: every
hydra program of the environment loads this file, so it stays light.
"""

import importlib.util
from pathlib import Path

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import OmegaConf


def _package_dir() -> str:
    """Return the folder of ecg_fairseq, which is also fairseq's user directory."""
    spec = importlib.util.find_spec("ecg_fairseq")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("ecg_fairseq is not installed in this environment")
    return str(Path(spec.origin).resolve().parent)


OmegaConf.register_new_resolver("ecg_fairseq_dir", _package_dir, replace=True)


class EcgFairseqSearchPath(SearchPathPlugin):
    """Appends ``ecg_fairseq.config``."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add our folder behind the program's own.

        As a file path: ``pkg://`` would import the package, and fairseq registers the tasks and
        models of a user directory only if it is the first to import it.
        """
        search_path.append(provider="ecg_fairseq", path=f"file://{_package_dir()}/config")
