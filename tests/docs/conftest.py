from tests.docs.desk import desk

__all__ = ["desk"]
