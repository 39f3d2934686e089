"""Parts that have not earned a place in the core (CONTRIBUTING.md says how).

Each registers itself when it is imported here, without JAX: what a record
names is imported when it is first called. The core imports none of them.
"""

from rmtl_jax.contrib import affinity as affinity
from rmtl_jax.contrib import crosses as crosses
from rmtl_jax.contrib import learnt_lambda as learnt_lambda
from rmtl_jax.contrib import long_targets as long_targets
from rmtl_jax.contrib import trees as trees
from rmtl_jax.contrib import weightings as weightings
