"""The fault table as pytest itself sees it.

make prove PART=faults, then faults_messages, faults_disks, faults_processes, faults_lines,
faults_clocks
"""

from tests.faults.test_table import test_every_named_test_is_collected

__all__ = ["test_every_named_test_is_collected"]
