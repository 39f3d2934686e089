"""The supervisor of a worker: what it says, and with which code it ends."""

from __future__ import annotations

import pytest
from absl import flags

from rmtl_jax import types
from rmtl_jax.commands import common, distributed

THREE = (
  '--coordinator_address=127.0.0.1:99',
  '--num_processes=2',
  '--process_id=1',
)


def _values(*line: str) -> flags.FlagValues:
  values = flags.FlagValues()
  flag = common.Definer(values)
  common.define_workdir(flag)
  distributed.define(flag)
  values(['rmtl train', *line])
  return values


@pytest.mark.parametrize(
  ('line', 'said'),
  [
    (THREE[:1], 'belong together'),
    (THREE[1:], 'belong together'),
    ((*THREE[:2], '--process_id=2'), '2 is not below --num_processes=2'),
    (('--coordinator_address=host', *THREE[1:]), "'host' is not HOST:PORT"),
    (('--distributed', '--coordinator_address=h:'), 'is not HOST:PORT'),
  ],
)
def test_flags_that_do_not_fit_together(line, said):
  with pytest.raises(types.InputError, match=said):
    distributed.is_asked(_values(*line))


def test_what_a_lost_peer_causes_is_told_from_other_errors(monkeypatch):
  lost = ValueError('UNKNOWN: Gloo AllGather failed: Connection closed by peer')
  assert not distributed.tells_of_a_loss(lost)  # there is no other process
  monkeypatch.setattr(distributed, 'is_one_of_many', lambda: True)
  assert distributed.tells_of_a_loss(lost)
  assert not distributed.tells_of_a_loss(ValueError('shapes differ'))
