"""Fixtures shared by all tests; data are made here, never downloaded."""

import os
from pathlib import Path

import pytest

# Before any test imports huggingface_hub: no test, and no process a test starts, asks the hub.
os.environ["HF_HUB_OFFLINE"] = "1"

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def project_dir() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder with golden tensors and real recordings; tests that need it skip without it."""
    folder = Path(os.environ.get("ECG_SHARED", PROJECT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"golden tensors and recordings are absent: {folder} (set ECG_SHARED)")
    return folder
