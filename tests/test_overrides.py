"""Paths with any character reach fairseq through hydra as they are."""

import sys

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from ecg_fairseq.errors import EcgError

PATHS = (
    "/data/ecg", "/data/a b", "/d/Größe", "/d/心電図", "/d/a,b", "/d/a=b", "/d/$x", "/d/{x}",
    "/d/[x]", "/d/it's", "/d/a\\b", "/d/a\\'b", "/d/a\\", "/d/(x) ~!#&*@%", '/d/"x"',
    "/d/é,=$ {['x",
)  # fmt: skip


@pytest.fixture
def overrides(project_dir, monkeypatch):
    monkeypatch.syspath_prepend(str(project_dir / "scripts"))
    for name in [name for name in sys.modules if name.split(".")[0] == "steps"]:
        monkeypatch.delitem(sys.modules, name)
    from steps import overrides

    return overrides


@pytest.mark.parametrize("path", PATHS)
def test_hydra_reads_what_was_meant(overrides, path):
    parsed = OverridesParser.create().parse_override(overrides.override("task.data", path))
    assert (parsed.key_or_group, parsed.value()) == ("task.data", path)
    assert OmegaConf.create({"data": parsed.value()}).data == path


def test_plain_paths_stay_as_they_are(overrides):
    assert overrides.override("task.data", "/data/m-1_x.y") == "task.data=/data/m-1_x.y"


@pytest.mark.parametrize("path", ["/d/${x}", "/d/a:b"])
def test_what_fairseq_cannot_take_is_refused(overrides, path):
    with pytest.raises(EcgError, match="choose another --out"):
        overrides.check_path(path)
