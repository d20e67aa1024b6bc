"""The small world's models as the host holds models."""
