"""One hospital's own window, on its own machine: it may read rows, and sends none."""
