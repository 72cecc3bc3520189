"""Networks for images and signals, as flat vectors like every other model."""

from aegis.tasks.networks.layouts import FOR_IMAGES, NETWORKS, OWN_DROPOUT, SMALL, Activation
from aegis.tasks.networks.network import Network

__all__ = ["FOR_IMAGES", "NETWORKS", "OWN_DROPOUT", "SMALL", "Activation", "Network"]
