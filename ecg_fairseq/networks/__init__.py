"""Plain torch networks, one folder a system. Nothing here knows fairseq."""
