"""Any ECG encoder: protocol, registry, heads, finetuned networks, pooling, saliency, recordings."""
