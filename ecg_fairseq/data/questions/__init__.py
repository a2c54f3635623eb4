"""fairseq datasets of questions about ECGs, and what answers them in fairseq-generate."""
