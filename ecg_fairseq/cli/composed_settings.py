"""What a YAML says once hydra has merged the shared files that it names.

A YAML states what is its own; the settings that it shares with others lie in ``config/shared``.
Here both are put together as ``fairseq-hydra-train --config-name NAME`` does, which takes hydra
alone; what neither says is filled in from fairseq's and our dataclasses where that is asked for.
"""

import contextlib
import difflib
import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ecg_fairseq.errors import EcgError

SHIPPED = Path(__file__).resolve().parents[1] / "config"
# Hydra's own group has some hundred settings; these are the ones that our YAMLs set.
_HYDRA_KEYS = ("run", "output_subdir")
# fairseq's groups, which are all that training takes; written down so that fairseq is not needed.
# It fills the first kind in with its defaults, and those of the second with what their _name asks.
_FILLED_GROUPS = (
    *("common", "common_eval", "distributed_training", "dataset", "optimization", "checkpoint"),
    *("bmuf", "generation", "eval_lm", "interactive", "ema"),
)
_NAMED_GROUPS = (
    *("model", "task", "criterion", "optimizer", "lr_scheduler", "scoring", "bpe", "tokenizer"),
)
SETTING_GROUPS = _FILLED_GROUPS + _NAMED_GROUPS
_LOST = "overwritten by fairseq"


def composed_settings(
    name: str, config_dir: Path | str | None = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the settings that a YAML and the files it names say, and nothing else.

    Args:
        name: of the YAML, without ``.yaml``.
        config_dir: folder of a YAML that is not shipped; it may name shipped files.
        overrides: as on the command line: ``task.data=DIR``.

    Returns:
        Group -> settings, ``hydra`` among them. Links such as ``${model.llm}`` stay as they are.

    Raises:
        EcgError: there is no such YAML, or hydra cannot merge it (hydra's sentence is kept), or it
            has groups that fairseq does not know, or sets what fairseq's defaults overwrite.
    """
    from omegaconf import OmegaConf

    folder = _folder_of(name, config_dir)
    with _schema(name, None):
        composed = _composed(name, folder, overrides)
    settings = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(settings, dict)
    hydra = settings.pop("hydra")
    _refuse_unknown_groups(f"{folder / name}.yaml", settings)
    _refuse_lost_settings(name, folder, settings)
    return {"hydra": {key: hydra[key] for key in _HYDRA_KEYS}, **settings}


def _refuse_unknown_groups(path: str, settings: Iterable[Any]) -> None:
    for name in settings:
        # Not a group: the name that fairseq's own dataclass of all settings has.
        if name in SETTING_GROUPS or name == "_name":
            continue
        near = difflib.get_close_matches(str(name), SETTING_GROUPS, 1)
        advice = f"did you mean {near[0]}?" if near else f"there are {', '.join(SETTING_GROUPS)}"
        raise EcgError(
            f"{path} sets {name}, which is no group of fairseq's settings, so training refuses it; "
            f"{advice} (settings of a file in a folder land under the folder's name unless its "
            "first line is `# @package _global_`)"
        )


def _refuse_lost_settings(name: str, folder: Path, settings: dict[str, Any]) -> None:
    """Refuse a setting that training would not have: fairseq's defaults would stand in its place.

    fairseq has hydra merge its defaults of all groups together with the YAML that is asked for, so
    what a file sets that stands before ``_self_`` is lost, except in groups with a ``_name`` that
    the YAML itself has. The same is done here with a mark in the place of every default.
    """
    from omegaconf import OmegaConf

    schema: dict[str, Any] = {group: None for group in settings}
    for group in _FILLED_GROUPS:
        if isinstance(settings.get(group), dict):
            schema[group] = dict.fromkeys(settings[group], _LOST)
    with _schema(name, schema):
        merged = OmegaConf.to_container(_composed(name, folder, ()), resolve=False)
    assert isinstance(merged, dict)
    lost = [group for group in settings if settings[group] is not None and merged[group] is None]
    for group in sorted(set(_FILLED_GROUPS) & merged.keys()):
        values = merged[group] if isinstance(merged[group], dict) else {}
        lost += [f"{group}.{key}" for key, value in values.items() if value == _LOST]
    if lost:
        raise EcgError(
            f"{folder / name}.yaml: {', '.join(sorted(lost))} stand in a file that it names before "
            "_self_, where fairseq's own defaults overwrite them in training: name that file "
            f"behind _self_, or set them in {name}.yaml itself (a group such as task needs at "
            "least its _name there)"
        )


def full_settings(
    name: str, config_dir: Path | str | None = None, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Return the settings of a run: as :func:`composed_settings`, with every default filled in.

    fairseq and our tasks, models and criterions must have been imported.

    Raises:
        EcgError: see :func:`composed_settings`; or a setting is unknown.
    """
    from fairseq.dataclass.initialize import add_defaults, hydra_init
    from fairseq.dataclass.utils import omegaconf_no_object_check
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    folder = _folder_of(name, config_dir)
    hydra_init(name)
    composed = _composed(name, folder, overrides)
    OmegaConf.set_struct(composed, False)
    del composed["hydra"]
    _refuse_unknown_groups(f"{folder / name}.yaml", composed)
    try:
        add_defaults(composed)
    except OmegaConfBaseException as error:
        raise EcgError(f"{name}.yaml does not fit the settings here: {error}") from error
    with omegaconf_no_object_check():
        return OmegaConf.to_container(composed, resolve=False, enum_to_str=True)  # type: ignore[return-value]


def as_yaml(settings: dict[str, Any]) -> str:
    """Return settings as the text of a YAML that hydra reads; lists stand on one line each."""
    import yaml

    class Dumper(yaml.SafeDumper):
        pass

    Dumper.add_representer(
        list,
        lambda dumper, values: dumper.represent_sequence(
            "tag:yaml.org,2002:seq", values, flow_style=True
        ),
    )
    text = yaml.dump(settings, Dumper=Dumper, sort_keys=False, width=1000)
    return f"# @package _global_\n{text}"


def shipped_names() -> list[str]:
    """Return the names of the YAMLs of this package."""
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def _folder_of(name: str, config_dir: Path | str | None) -> Path:
    """Return the folder that holds a YAML; EcgError when there is none, with the nearest names."""
    if config_dir is not None and not Path(config_dir).is_dir():
        raise EcgError(f"--config-dir {config_dir} is not a folder; give the one with {name}.yaml")
    folders = [SHIPPED] if config_dir is None else [Path(config_dir).resolve(), SHIPPED]
    for folder in folders:
        if (folder / f"{name}.yaml").is_file():
            return folder
    known = [path.stem for folder in folders for path in sorted(folder.glob("*.yaml"))]
    near = difflib.get_close_matches(name.removesuffix(".yaml"), known, 3)
    advice = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known)}"
    raise EcgError(f"there is no {name}.yaml in {' or '.join(map(str, folders))}; {advice}")


def _composed(name: str, folder: Path, overrides: Sequence[str]) -> Any:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from yaml import YAMLError

    GlobalHydra.instance().clear()
    # At level DEBUG hydra tells of its own start.
    logging.getLogger("hydra").setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            # They are about fairseq's way to use hydra, which is followed here.
            warnings.simplefilter("ignore")
            with initialize_config_dir(str(folder), version_base="1.1"):
                return compose(name, overrides=list(overrides), return_hydra_config=True)
    except (HydraException, YAMLError) as error:
        reason = " ".join(str(error).split())
        raise EcgError(f"{folder / name}.yaml cannot be composed: {reason}") from error


@contextlib.contextmanager
def _schema(name: str, schema: dict[str, Any] | None) -> Iterator[None]:
    """Have hydra fill a YAML in with other defaults than those that fairseq registers for it.

    Args:
        name: of the YAML.
        schema: the defaults; None for none at all.
    """
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    folder: Any = store.repo
    *parts, last = f"{name}.yaml".split("/")
    for part in parts:
        folder = folder.setdefault(part, {})
    earlier = folder.pop(last, None)
    if schema is not None:
        store.store(name=last.removesuffix(".yaml"), group="/".join(parts) or None, node=schema)
    try:
        yield
    finally:
        folder.pop(last, None)
        if earlier is not None:
            folder[last] = earlier
