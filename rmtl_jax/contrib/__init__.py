"""Parts that have not earned a place in the core (CONTRIBUTING.md says how).

Every folder here registers its parts when it is imported, which is here and
without JAX: what a record names is imported when it is first called. The core
imports none of them.
"""

import importlib
import pkgutil

for _folder in pkgutil.iter_modules(__path__, f'{__name__}.'):
  importlib.import_module(_folder.name)
