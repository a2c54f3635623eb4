"""From a raw dataset to a manifest folder, by many processes, resumable, byte for byte."""
