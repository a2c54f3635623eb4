"""Questions about recordings: how one is written down, and how labels become questions."""
