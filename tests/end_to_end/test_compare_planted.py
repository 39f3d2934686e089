"""The protocol of 16 paired seeds finds a planted effect, and only where it is.

Without the controls that see the same batches, either half could be faked: any
fine-tuning gains over a weak pre-trained model, and a collapsed critic gains
nothing over constant weights.
"""

from __future__ import annotations

import pathlib
from typing import Any

import pytest

from experiments.planted import family
from rmtl_jax.evaluation import comparison
from rmtl_jax.runtime import progress
from rmtl_jax.studies import comparing

pytestmark = pytest.mark.slow

METHOD = 'shared_bottom+critic'
CONTROLS = {
  'shared_bottom',
  'shared_bottom+constant',
  'shared_bottom+constant_mean',
  'shared_bottom+q_shuffled',
}


def run(path: pathlib.Path, knobs: family.Knobs) -> dict[str, Any]:
  """The results of comparing METHOD with its controls on a data set."""
  family.write_prepared(path / 'data', knobs)
  return comparing.compare(
    path / 'comparison',
    path / 'data',
    config=family.config(methods=(METHOD,)),
    live=progress.Progress(quiet=True),
  )


def auc_gains(results: dict[str, Any]) -> dict[str, dict[str, Any]]:
  """Per control, METHOD's difference in test AUC."""
  return {
    record['control']: record
    for record in results['differences']
    if record['metric'] == 'auc'
  }


def assert_critics_know_the_kind(results: dict[str, Any]) -> None:
  """Neither verdict means anything if the critics learnt nothing."""
  assert len(results['critics']) == 16
  for record in results['critics']:
    assert not record['statistics']['collapsed']['click']
    assert record['statistics']['r2']['click'] > 0.2


def test_planted_effect_is_found(tmp_path):
  results = run(tmp_path, family.HELPS)
  assert_critics_know_the_kind(results)
  (verdict,) = results['verdicts']
  assert verdict['passes'] is True, verdict['reason']
  gains = auc_gains(results)
  assert gains.keys() == CONTROLS
  for record in gains.values():
    assert record['pairs'] == 16
    assert record['mean'] > 0.03
    assert record['p_holm'] < 0.01
    assert record['bootstrap'][0] > 0.0


def test_no_effect_is_found_where_there_can_be_none(tmp_path):
  results = run(tmp_path, family.CANNOT)
  assert_critics_know_the_kind(results)
  (verdict,) = results['verdicts']
  assert verdict['passes'] is False, verdict['reason']
  gains = auc_gains(results)
  assert gains.keys() == CONTROLS
  for record in gains.values():
    assert record['pairs'] == 16
    assert abs(record['mean']) < comparison.MIN_EFFECT
