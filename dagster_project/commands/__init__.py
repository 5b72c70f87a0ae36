"""The commands of `notelake`, a file for each part of its work; `cli.py` puts them together."""
