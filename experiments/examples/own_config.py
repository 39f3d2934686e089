"""A config file of one's own: settings as Python, with an argument.

    rmtl train --config=experiments/examples/own_config.py:32 \
      --data_dir=data/mine --workdir=runs/mine

The text after the colon is what `get_config` gets. Flags override the file.
"""

import rmtl_jax


def get_config(embedding_dim: str = '16') -> rmtl_jax.Config:
  """One PLE network in place of an ensemble, with embeddings of a width."""
  return rmtl_jax.Config(
    ensemble=1,
    variants='',
    network=rmtl_jax.NetworkConfig(embedding_dim=int(embedding_dim)),
  )
