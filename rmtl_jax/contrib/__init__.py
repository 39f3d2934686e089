"""Parts outside the core (see CONTRIBUTING.md).

Parts register when this is imported, without JAX: the module of a record is
imported when it is first called. The core imports none of them.
"""

from rmtl_jax import registry
from rmtl_jax.networks import backbone_registry

backbone_registry.BACKBONES.register(
  backbone_registry.BackboneRecord(
    'lightgbm',
    registry.lazy(f'{__name__}.lightgbm_trees', 'make'),
    is_fitted=True,
  )
)

for _name, _class in (
  ('dbmtl', 'Dbmtl'),
  ('cross_stitch', 'CrossStitch'),
  ('adatt', 'Adatt'),
):
  backbone_registry.BACKBONES.register(
    backbone_registry.BackboneRecord(
      _name, registry.lazy(f'{__name__}.{_name}', _class)
    )
  )
