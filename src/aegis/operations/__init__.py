"""Long-lived processes: the coordinator's and each hospital's, and the courier between them.

``operations.coordinator`` may reach no patient's row: it imports neither ``aegis.hospital`` nor
``aegis.training``, as the wall demands. ``operations.hospital`` is everything behind the wall that
a process needs: its folder, its data, its line.
"""
