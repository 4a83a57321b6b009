"""sgdyn: the dynamics of stochastic gradient descent as a diffusion.

    dX = (-grad U + c) dt + sqrt(2 T) sigma(X) dW,   sigma sigma' = D,   T = eta/2B

One process object, many independent theories, each answer with its error. See README.md, or `sgdyn.landscapes` for systems to play with.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
"""Names are imported when they are first used, so that `import sgdyn` is quick and loads neither torch nor matplotlib."""
