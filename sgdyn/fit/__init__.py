"""Dynamics fitted to real training runs, and whether the diffusion picture holds for them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
"""Imported when first used, so that pictures of fits do not load torch."""
