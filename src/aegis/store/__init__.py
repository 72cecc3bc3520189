"""Memory: the database, the registry, and the files of a run."""
