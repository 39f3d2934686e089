"""Loss balancers of stage 1 on four backbones, each against equal weights.

    rmtl compare --config=experiments/tables/balancers.py:small \
      --data_dir=data/retailrocket_small --workdir=runs/balancers_small

Every balancer of docs/balancers.md with its paper's settings, and static
weights of the first task from a quarter to four times those of the others: the
best of that grid on validation is a method too, and one that many balancers
lose to. `:small,ple` takes one backbone, `:paper` the paper's sizes.

Expected: docs/balancers.md. With few seeds there are means and intervals, and
no claims; the verdict's tests need --seeds=0,1,...,15.
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.balancing import registry
from rmtl_jax.config import flags as config_flags

BACKBONES = ('shared_bottom', 'mmoe', 'ple', 'esmm')
# Weight of the first task in units of the others'.
GRID = (0.25, 0.5, 2.0, 4.0)


def get_config(argument: str = 'paper') -> config_lib.Config:
  """The methods, four seeds, and networks of a size.

  Args:
    argument: of the networks, `paper` or `small` (sizes.py), then backbones,
      joined by commas; all four if none is named.
  """
  size, *chosen = argument.split(',')
  sizes = pathlib.Path(__file__).with_name('sizes.py')
  methods = []
  for backbone in chosen or BACKBONES:
    methods.append(backbone)
    methods += [
      f'{backbone}/static:pretrain.balancing.weights={weight:g}+1'
      for weight in GRID
    ]
    methods += [
      f'{backbone}/{record.name}'
      for record in registry.RECORDS.values()
      if not record.is_static
    ]
  return config_lib.Config(
    network=config_flags.load(f'{sizes}:{size}').network,
    compare=config_lib.CompareConfig(
      methods=tuple(methods), seeds=(0, 1, 2, 3)
    ),
  )
