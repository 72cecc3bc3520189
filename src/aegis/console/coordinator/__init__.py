"""The coordinator's window: its pages, its API, its stream.

Nothing here can reach a patient's row.
"""
