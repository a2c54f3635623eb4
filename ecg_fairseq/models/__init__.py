"""fairseq models: thin adapters round ecg_fairseq.networks. fairseq's scan imports each file."""
