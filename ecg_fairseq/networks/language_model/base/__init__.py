"""The pretrained or random model below an ECG language model: how it is loaded, what it sees."""
