"""Networks in the formats of other libraries."""

from .converting import Converted, convert

__all__ = ["Converted", "convert"]
