"""Star topology adaptive recommender (STAR; Sheng et al., CIKM 2021)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import types
from rmtl_jax.networks import backbones, layers

# Of the domain's vocabulary, row 0 included: every layer runs for each.
MOST_DOMAINS = 64


class Star(backbones.Backbone):
  """One network per domain, each layer's weights shared times its own.

  A layer's kernel in domain p is W * W_p, elementwise, and its bias b + b_p
  (Eq. 5-6, star topology). What enters is normalised per domain (partitioned
  normalisation). A small network of all features, the domain's among them,
  adds to the logits (auxiliary network, Eq. 9).

  Differs from the paper: K tasks, each with a tower of that form on the one
  bottom; the norm is over a row's units behind the first product, not over a
  domain's rows of the batch ahead of it, so that rows do not depend on each
  other and predictions need no running means; own weights start at 1. Layers
  run for all domains, and each row takes its own's: the cost grows with them.

  Attributes:
    scale, shift: of the norm, f32[units].
    domain_scale, domain_shift: each domain's own, f32[P, units].
  """

  def build(self, setup: layers.Setup) -> None:
    """Columns per domain, then layers per domain, one bottom and K towers.

    Raises:
      types.InputError: the domain has too many values.
    """
    spec, config = self.spec, self.config
    assert spec.domain is not None
    domains = self.domains = spec.categorical[spec.domain]
    if domains > MOST_DOMAINS:
      raise types.InputError(
        'config.backbone: star has layers for every value of the domain, at'
        f' most {MOST_DOMAINS}; found {domains}'
      )
    units, auxiliary = config.bottom_units, config.tower_units[-1]
    self.first = self.read(setup, 1, (auxiliary,), domains)
    self.scale = nnx.Param(jnp.ones((units[0],)))
    self.shift = nnx.Param(jnp.zeros((units[0],)))
    self.domain_scale = nnx.Param(jnp.ones((domains, units[0])))
    self.domain_shift = nnx.Param(jnp.zeros((domains, units[0])))
    self.depth = len(units), len(config.tower_units)
    for name, count, widths in (
      ('bottom', 1, units),
      (
        'tower',
        self.num_tasks,
        (units[-1], *config.tower_units, max(spec.units)),
      ),
    ):
      for i in range(1, len(widths)):
        is_last = name == 'tower' and i == len(widths) - 1
        gain = layers.LECUN if is_last else layers.HE
        linear = StarLinear(
          domains, count, widths[i - 1], widths[i], gain, setup
        )
        setattr(self, f'{name}_{i}', linear)
    counts = (1,) * len(units) + (self.num_tasks,) * len(config.tower_units)
    for i, count in enumerate((*counts, 1)):
      setattr(self, f'activation_{i}', layers.Activation(count, setup))
    self.auxiliary = layers.Linear(
      auxiliary, sum(spec.units), layers.LECUN, setup.rngs
    )

  def __call__(self, shared, inputs: types.Inputs, dropout_key) -> jax.Array:
    """One lane -> outputs of the towers, f32[T, sum of units]."""
    domain = jnp.asarray(inputs.categorical)[:, self.spec.domain]
    rows = jax.nn.one_hot(domain, self.domains)
    x, auxiliary = self.first(shared, inputs)
    bottoms, towers = self.depth
    z = [self.normalised(layers.mix(rows, x), domain)]
    for i in range(bottoms):
      if i > 0:
        z = getattr(self, f'bottom_{i}').of_rows(z, rows)
      z = getattr(self, f'activation_{i}')(z, dropout_key)
    for i in range(1, towers + 1):
      z = getattr(self, f'tower_{i}').of_rows(z, rows)
      z = getattr(self, f'activation_{bottoms - 1 + i}')(z, dropout_key)
    z = getattr(self, f'tower_{towers + 1}').of_rows(z, rows)
    last = getattr(self, f'activation_{bottoms + towers}')
    (hidden,) = last([auxiliary], dropout_key)
    read = [z[k][:, :units] for k, units in enumerate(self.spec.units)]
    return jnp.concatenate(read, axis=1) + self.auxiliary(hidden)

  def normalised(self, z: jax.Array, domain: jax.Array) -> jax.Array:
    """norm(z) (g g_p) + (b + b_p), each row by its domain's, f32[T, units].

    Args:
      z: f32[T, units].
      domain: of each row, i32[T].
    """

    def own(values: jax.Array) -> jax.Array:
      return jnp.take(values, domain, axis=0, mode='clip')

    scale = self.scale[...][None, :] * own(self.domain_scale[...])
    shift = self.shift[...][None, :] + own(self.domain_shift[...])
    return layers.normalised(z) * scale + shift


class StarLinear(layers.StackedLinear):
  """E linear layers of which every domain has its own form.

  Args:
    domains: P.
    count: E.
    inputs: width of a member's input.
    units: width of a member's output.
    gain: of the shared kernels, HE or LECUN.
    setup: of the network.

  Attributes:
    domain_kernel: f32[E, P, inputs, units].
    domain_bias: f32[E, P, units].
  """

  def __init__(
    self,
    domains: int,
    count: int,
    inputs: int,
    units: int,
    gain: float,
    setup: layers.Setup,
  ):
    super().__init__(count, inputs, units, gain, setup)
    self.domain_kernel = nnx.Param(jnp.ones((count, domains, inputs, units)))
    self.domain_bias = nnx.Param(jnp.zeros((count, domains, units)))

  def of_rows(self, x: layers.Stack, rows: jax.Array) -> layers.Stack:
    """A stack of E (or one for all) f32[T, inputs] -> E of f32[T, units].

    Args:
      x: the inputs.
      rows: each row's domain, one-hot, f32[T, P].
    """
    kernel = self.kernel[...][:, None] * self.domain_kernel[...]
    bias = self.bias[...][:, None] + self.domain_bias[...]
    count, domains, inputs, units = kernel.shape
    # One wide product for all domains, of which a row takes its columns.
    kernel = jnp.swapaxes(kernel, 1, 2).reshape(count, inputs, -1)
    y = layers.stacked_product(
      x, kernel, bias.reshape(count, -1), self.expert_form
    )
    own = [
      jnp.sum(y[e].reshape(-1, domains, units) * rows[:, :, None], axis=1)
      for e in range(count)
    ]
    return layers.stack(own, self.expert_form)
