"""The window: what a browser, a script and a joining hospital can ask of a process over HTTP."""
