"""Lambda learnt on validation rows: `weighting.meta_learning_rate`."""

from __future__ import annotations

from rmtl_jax import config as config_lib
from rmtl_jax import registry, types
from rmtl_jax.weighting import registry as weightings
from rmtl_jax.weighting import tuners


def _is_set(config: config_lib.WeightingConfig) -> bool:
  return bool(config.meta_learning_rate) and (
    weightings.find(config.name).asks_every_step
  )


def _check(config: config_lib.Config) -> None:
  """Refuses what has no lambda, and steps that see one batch's rows alone."""
  if not config.weighting.meta_learning_rate:
    return
  form = weightings.form_of(config.weighting)
  if form.lambda_ == weightings.NONE or form.objective is not None:
    raise types.InputError(
      f'config.weighting.meta_learning_rate: {form.name} has no weights with a'
      ' lambda to learn (rmtl compare: set it for one method,'
      ' ple+critic:weighting.meta_learning_rate=0.02)'
    )
  if config.network.embedding_adam == 'rows':
    raise types.InputError(
      'config.network.embedding_adam: rows updates the rows of one batch, but'
      ' lambda is learnt from a batch of validation rows beside it; set'
      ' config.weighting.meta_learning_rate=0 or embedding_adam=dense'
    )


_MODULE = 'rmtl_jax.contrib.learnt_lambda.step'

tuners.RECORDS.register(
  tuners.Tuner(
    'learnt_lambda',
    _is_set,
    _check,
    registry.lazy(_MODULE, 'init'),
    registry.lazy(_MODULE, 'make'),
    registry.lazy(_MODULE, 'numbers'),
  )
)
