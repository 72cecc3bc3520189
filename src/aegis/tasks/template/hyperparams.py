"""How it is trained where a plan does not say otherwise: plain names, or any key of a plan."""

HYPERPARAMS: dict[str, object] = {
    "solver": "newton",
    "l2": 1.0,
    "num_rounds": 8,
    "num_clients": 4,
    "training.tolerance": 1e-8,
}

# By mini-batches:  {"learning_rate": 0.1, "batch_size": 32, "epochs": 2, "num_rounds": 20}
