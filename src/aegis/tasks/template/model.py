"""The model: one that a plan can name (``aegis models show NAME`` prints its layers)."""

MODEL: dict[str, object] = {"name": "logistic", "init": "zeros"}

# A network for tables:  MODEL = {"name": "mlp", "hidden": [32, 16], "dropout": [0.2, 0.1]}
# For images:            MODEL = {"name": "simple_cnn"}
