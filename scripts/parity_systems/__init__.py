"""What `scripts/parity.py SYSTEM` runs: for each system, the modules that compare us with it.

A module has ``checks(case_dir: Path) -> Iterator[Check]`` and yields nothing for a folder that
holds no case of its kind. A new system adds its line here and its modules beside this file.
"""

SYSTEMS: dict[str, tuple[str, ...]] = {
    "ecg-byte": ("ecg_byte_signal", "bpe_cases"),
    "ecg-fm": ("ecg_fm_signal", "ecg_fm_masks", "ecg_fm_labels", "ecg_fm", "ecg_fm_checkpoints"),
    "heartllm": ("heartllm_signal", "heartllm_fsq", "heartllm_stages"),
    "dual-attention": ("dual_attention_signal",),
    "ecg-encoder": ("ecg_encoder",),
}
