"""Parts of scripts/scale_*.py: much raw data, a large manifest, watched and measured runs."""
