"""Settings, their limits, and how they become flags and files.

This module has the settings themselves; `values` checks and converts them,
`flags` makes command lines of them. No module here imports JAX.
"""

from __future__ import annotations

from rmtl_jax.config.prepare_settings import PrepareConfig
from rmtl_jax.config.presets import PRESETS, preset
from rmtl_jax.config.recommended import resolve
from rmtl_jax.config.run_settings import (
  BalancingConfig,
  BatchConfig,
  CompareConfig,
  Config,
  CriticConfig,
  EvaluationConfig,
  FinetuneConfig,
  NetworkConfig,
  PretrainConfig,
  WeightingConfig,
)

__all__ = [
  'BalancingConfig',
  'PRESETS',
  'BatchConfig',
  'CompareConfig',
  'Config',
  'CriticConfig',
  'EvaluationConfig',
  'FinetuneConfig',
  'NetworkConfig',
  'PrepareConfig',
  'PretrainConfig',
  'WeightingConfig',
  'preset',
  'resolve',
]
