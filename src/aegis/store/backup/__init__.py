"""Backups of a data root: consistent while a run is on, in chunks named by what they hold."""
