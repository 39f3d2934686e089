"""Examples run as they stand."""

import pathlib
import re
import runpy

import jax.numpy as jnp
import numpy as np

from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values

_DIRECTORY = pathlib.Path(__file__).parents[2] / 'experiments' / 'examples'


def test_a_foreign_model_learns_by_weighted_losses(capsys):
  path = _DIRECTORY / 'foreign_model.py'
  code = path.read_text(encoding='utf-8').split('"""', 2)[2]
  statements = [
    line for line in code.splitlines() if line.split('#')[0].strip()
  ]
  assert len(statements) < 40
  found = runpy.run_path(str(path))
  losses = [
    float(n) for n in re.findall(r'loss (\S+)', capsys.readouterr().out)
  ]
  assert len(losses) == 3
  assert losses[-1] < 0.7 * losses[0]
  # By hand: losses 1, 2, 4 of a session, gamma 1/2.
  q_values = found['q_of_rows'](jnp.array([[[1.0], [2.0], [4.0]]]), 0.5)
  np.testing.assert_allclose(q_values, [[[-3.0], [-4.0], [-4.0]]])


def test_a_config_file_of_ones_own_takes_a_width():
  path = _DIRECTORY / 'own_config.py'
  found = {
    text: config_values.flatten(config_flags.load(f'{path}{text}'))
    for text in ('', ':32')
  }
  assert found[''] | {'network.embedding_dim': 32} == found[':32']
  assert found['']['ensemble'] == 1
