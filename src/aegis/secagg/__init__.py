"""The sealed sum."""
