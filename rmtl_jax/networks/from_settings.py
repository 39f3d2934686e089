"""From settings to the networks of actors and critics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.networks import (
  backbone_registry,
  critic_network,
  cross_terms,
  first_layer,
  functional,
  id_dropout,
  ignore,
  outputs,
  pretrained,
  torch_init,
)

Builder = Callable[[types.FeatureSpec, config_lib.NetworkConfig, nnx.Rngs], Any]


def register_backbone(name: str, builder: Builder) -> None:
  """Adds a backbone of the caller's own under a new name.

  From then on, in this process, `config.backbone` may have that name.

  Args:
    name: not one that exists.
    builder: (spec, config, rngs) -> an NNX module: a `backbones.Backbone`
      (`backbones.SharedBottom` is the shortest example), or any module with an
      attribute `first`, a `first_layer.FirstLayer`, and
      `__call__(shared, inputs, dropout_key) -> logits f32[T, K]` for one lane.
      Lists of modules are best kept as named attributes, so
      that parameters are nested dicts with string keys.

  Raises:
    types.InputError: the name is taken.
  """
  backbone_registry.BACKBONES.register(
    backbone_registry.BackboneRecord(name, builder)
  )


def make_actor(
  spec: types.FeatureSpec, backbone: str, config: config_lib.NetworkConfig
) -> functional.Network:
  """A multi-task model; its `lane` gives the outputs of K tasks.

  Examples:
    >>> spec = types.FeatureSpec((50, 20), (), numeric=0, num_tasks=2)
    >>> sizes = config_lib.preset('paper').network
    >>> network = make_actor(spec, 'shared_bottom', sizes)
    >>> jax.eval_shape(network.init, jax.random.key(0))['first']['table'].shape
    (70, 128)

  Args:
    spec: the data's fields and tasks.
    backbone: a name of registry.BACKBONES.
    config: sizes, and which fields are ignored.

  Raises:
    types.InputError: no such backbone, nothing to read, or no such field to
      ignore.
  """
  record = backbone_registry.BACKBONES.find(backbone)
  if config.has_shown and not record.is_fitted:
    plain = dataclasses.replace(config, hide='')
    return functional.hiding(make_actor(spec, backbone, plain), spec)
  seen = ignore.view(spec, config, reads_nan=record.is_fitted)
  if seen is not None:
    rest = ignore.without(config, spec, seen)
    return functional.narrowed(make_actor(seen.spec, backbone, rest), seen)
  _check(spec, config)
  if record.is_fitted:
    return record.make(spec, config)
  built = outputs.one_task(spec) if record.by_task else spec
  network = _network(
    lambda rngs: record.make(built, config, rngs), built, config, is_actor=True
  )
  if record.by_task:
    network = functional.one_per_task(network, spec.num_tasks)
    network = outputs.without_room(network, spec)
  return outputs.with_tasks(network, spec)


def make_critic(
  spec: types.FeatureSpec,
  network: config_lib.NetworkConfig,
  critic: config_lib.CriticConfig,
) -> functional.Network:
  """The critics of all tasks; `lane` gives Q_k(s, a_k).

  Args:
    spec: the data's fields and tasks.
    network: sizes, the same as the actor's.
    critic: form, head and inputs.

  Raises:
    types.InputError: nothing to read, or no such field to ignore.
  """
  if network.has_shown:
    plain = dataclasses.replace(network, hide='')
    return functional.hiding(make_critic(spec, plain, critic), spec)
  seen = ignore.view(spec, network)
  if seen is not None:
    rest = ignore.without(network, spec, seen)
    return functional.narrowed(make_critic(seen.spec, rest, critic), seen)
  _check(spec, network)
  if critic.form == 'separate':
    one = dataclasses.replace(spec, num_tasks=1, losses=(), parents=())
    shared = dataclasses.replace(critic, form='shared')
    made = functional.one_per_task(
      make_critic(one, network, shared), spec.num_tasks
    )
    made = made._replace(tasks=spec.losses)
    return functional.equal_at_start(made) if network.official else made
  made = _network(
    lambda rngs: critic_network.Critic(spec, network, critic, rngs),
    spec,
    network,
  )
  return made._replace(tasks=spec.losses)


def _network(
  build: Callable[[nnx.Rngs], Any],
  spec: types.FeatureSpec,
  config: config_lib.NetworkConfig,
  is_actor: bool = False,
) -> functional.Network:
  """The functions of a module with `first` and `__call__` (one lane)."""
  field_rates = id_dropout.rates(config.id_dropout, spec)
  init_plain, bind, abstract = functional.from_module(build)

  def perturb(inputs: types.Inputs, key: jax.Array | None) -> types.Inputs:
    if key is None:
      return inputs
    return id_dropout.drop(key, inputs, spec, field_rates)

  def init(key: jax.Array) -> functional.Params:
    params = init_plain(key)
    if config.official:
      return torch_init.redraw(params, jax.random.fold_in(key, 1))
    return params

  def share(
    params: functional.Params, inputs: types.Inputs
  ) -> functional.Shared:
    return bind(params).first.share(inputs)

  def lane(params, shared, inputs, *args, dropout_key=None):
    return bind(params)(shared, inputs, *args, dropout_key)

  axes = abstract.first.shared_axes
  network = functional.Network(init, share, lane, axes, perturb)
  if is_actor and config.crosses:
    network = cross_terms.wrap(network, spec, config)
  link, plain = getattr(abstract, 'link', None), network.lane
  if link is None:
    return network
  # Last: what crosses add to a tower's output goes through the chain too.
  return network._replace(lane=lambda *args, **key: link(plain(*args, **key)))


def _check(spec: types.FeatureSpec, config: config_lib.NetworkConfig) -> None:
  if spec.num_tasks < 1:
    raise types.InputError('tasks: found none, expected at least one')
  if first_layer.num_blocks(spec, config.numeric_encoding) < 1:
    raise types.InputError('fields: found none, expected at least one')
  config_values.check('network.numeric_encoding', config.numeric_encoding)


def critic_from_actor(
  critic_params: functional.Params,
  actor_params: functional.Params,
) -> functional.Params:
  """The critic with the actor's embedding tables (as the authors' code does).

  So are vectors of categories that were learnt elsewhere.

  Args:
    critic_params: a critic's parameters.
    actor_params: an actor's, of the same fields and embedding width.

  Returns:
    The critic's parameters. Tables are copies: no buffer is shared with either
    argument. Where both have one table per task, each task has its
    own; where only the actor has, the first task's serves.

  Raises:
    ValueError: the tables' shapes differ.
  """
  new_params = jax.tree.map(jnp.copy, critic_params)
  table = actor_params['first']['table']
  old = new_params['first']['table']
  if table.ndim > old.ndim:
    table = table[0]
  while table.ndim < old.ndim:
    size = old.shape[old.ndim - table.ndim - 1]
    table = jnp.broadcast_to(table[None], (size, *table.shape))
  if table.shape != old.shape:
    raise ValueError(
      f'expected an embedding table {old.shape}, found {table.shape}'
    )
  new_params['first']['table'] = jnp.array(table, copy=True)
  if functional.SHOWN in actor_params:
    new_params[functional.SHOWN] = jax.tree.map(
      jnp.copy, actor_params[functional.SHOWN]
    )
  return pretrained.fill(new_params, pretrained.of(actor_params['first']))
