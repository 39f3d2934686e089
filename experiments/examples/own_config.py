"""A config file of one's own: settings as Python, with an argument.

    rmtl train --config=experiments/examples/own_config.py:32 \
      --data_dir=data/mine --workdir=runs/mine

The text after the colon is what `get_config` gets. Flags override the file.
"""

import dataclasses

import rmtl_jax


def get_config(embedding_dim: str = '16') -> rmtl_jax.Config:
  """The preset `plain` with as-of features, and embeddings of a width."""
  plain = rmtl_jax.preset('plain')
  network = dataclasses.replace(
    plain.network, embedding_dim=int(embedding_dim), ignore=''
  )
  return dataclasses.replace(plain, network=network)
