"""What settings start from: the paper, or the authors' released code."""

from __future__ import annotations

from rmtl_jax import types
from rmtl_jax.config import settings


def preset(name: str) -> settings.Config:
  """The paper's settings, or those of the authors' released code.

  Raises:
    types.InputError: no such preset.
  """
  if name == 'paper':
    return settings.Config()
  if name == 'official':
    return settings.Config(
      preset='official',
      network=settings.NetworkConfig(
        init='torch', expert_input='gate', aitm_transfer='linear'
      ),
      critic=settings.CriticConfig(
        form='separate',
        head='neg_relu',
        discount=0.9,
        behaviour='uniform',
        estimate='minimum',
        target_noise=0.4,
        target_noise_draw='batch',
        update_period=2,
        target_dropout=True,
      ),
      weighting=settings.WeightingConfig(lambda_=1.0),
    )
  allowed = ', '.join(settings.PRESETS)
  raise types.InputError(f'preset: {name!r} is not one of {allowed}')
