"""fairseq datasets and collaters over manifests."""
