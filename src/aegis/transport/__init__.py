"""The road between the coordinator and the hospitals."""
