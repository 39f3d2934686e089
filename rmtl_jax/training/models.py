"""Networks and compiled loops for some data, whatever the seeds.

Each is compiled once for the settings that change the program: seeds,
learning rates, lambda and constant weights are numbers in a state or a key.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.balancing import balancer_registry
from rmtl_jax.config import variants
from rmtl_jax.networks import (
  backbone_registry,
  critic_network,
  from_settings,
  functional,
  ignore,
  members_mean,
  pretrained,
)
from rmtl_jax.ops import task_losses
from rmtl_jax.runtime import checkpoints, mesh
from rmtl_jax.training import feed, split_data
from rmtl_jax.updates import actor as actor_lib
from rmtl_jax.updates import balance as balance_lib
from rmtl_jax.updates import critic as critic_lib
from rmtl_jax.updates import (
  embedding_rows,
  finetune,
  forward,
  loop,
  shared,
  state,
)
from rmtl_jax.weighting import chain as weighting_chain
from rmtl_jax.weighting import weighting_registry

_Part = TypeVar('_Part')
# loop(state, columns, extras, slots, count, key) -> (state, sums).
Loop = Callable[..., tuple[Any, dict[str, jax.Array]]]
_NO_BALANCING = config_lib.BalancingConfig()


class Models:
  """Networks, programs and predictions that runs on the same fields share.

  Attributes:
    spec: the features' names and sizes. Steps use `distinct`; what predicts
      does not, so that a restored run predicts the same bits.
    layout: where states and parameters are, or None: on one device.
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    layout: mesh.Layout | None = None,
    vectors: Mapping[str, np.ndarray] | None = None,
  ):
    """Builds nothing yet.

    Args:
      vectors: where training begins, those of the data (data/vectors.py).
    """
    self.spec = spec
    self.layout = layout
    self._vectors = dict(vectors or {})
    self._plain = dataclasses.replace(spec, distinct=())
    self._built: dict[tuple[str, Any], Any] = {}

  def actor(self, config: config_lib.Config) -> functional.Network:
    """The actor's network: of one member, where there is an ensemble."""
    key = (config.backbone, config.network)
    return self._once(
      'actor', key, lambda: from_settings.make_actor(self.spec, *key)
    )

  def predictor(self, config: config_lib.Config) -> functional.Network:
    """The predicting network: the actor, or the ensemble's members as one.

    Its parameters are those of training.
    """
    if variants.differ(config):
      members = tuple(
        (one.backbone, one.network) for one in variants.of_members(config)
      )
      return self._once(
        'mixture',
        members,
        lambda: members_mean.make_mixture(
          [from_settings.make_actor(self._plain, *one) for one in members]
        ),
      )
    # Variants may come to the same for all members.
    one, count = variants.first(config), config.ensemble
    settings = one.network

    def build():
      network = from_settings.make_actor(self._plain, one.backbone, settings)
      if count == 1:
        return network
      return members_mean.make_ensemble(network, count)

    return self._once('predictor', (one.backbone, settings, count), build)

  def critic(self, config: config_lib.Config) -> functional.Network:
    """The critics' network, the same for every backbone."""
    return self._once(
      'critic',
      (config.network, _of_critic(config.critic)),
      lambda: from_settings.make_critic(
        self.spec, config.network, config.critic
      ),
    )

  def check(self, config: config_lib.Config) -> None:
    """Raises InputError unless networks with these settings fit the data."""
    for one in variants.of_members(config):
      record = backbone_registry.BACKBONES.find(one.backbone)
      if record.of_all_rows and self.spec.only_after:
        raise types.InputError(
          f'config.backbone: {record.name} predicts every task over all rows,'
          f' and {self.spec.only_after[0]} counts after a positive only'
          ' (only_after); take another backbone, or prepare data without it'
        )
      self.actor(one)
      self.critic(one)
      self.balancer(one)

  def init_actor(self, config: config_lib.Config, draws: loop.Draws) -> Any:
    """The actor's initial parameters."""

    def build():
      init = self._actor_init(config)
      return self._program_of(
        lambda draws, *args: init(loop.random_key(draws), *args)
      )

    program = self._once('init_actor', _of_actor(config), build)
    return program(draws, *self._init_args(config))

  def _actor_init(self, config: config_lib.Config) -> Callable[..., Any]:
    network = self.actor(config)

    def init(key, vectors, shown):
      params = network.init(key)
      if shown is not None:
        params = functional.with_shown(params, shown)
      return pretrained.fill(params, vectors) if vectors else params

    return init

  def _init_args(self, config: config_lib.Config) -> tuple[Any, Any]:
    """The arguments of the actor's first parameters, after a key."""
    network = config.network
    if not network.has_shown:
      return self._vectors, None
    return self._vectors, ignore.shown(network.hide, self.spec)

  def init_critic(
    self,
    config: config_lib.Config,
    draws: loop.Draws,
    actor_params: Any,
    values: np.ndarray | None = None,
  ) -> Any:
    """The critics' initial parameters.

    Args:
      actor_params: which embeddings are copied from.
      values: of every row by the fresh critics, f32[K]; None: as they are.
    """

    def build():
      init = self._critic_init(config)

      def made(draws, actor_params, values):
        params = init(loop.random_key(draws), actor_params)
        if values is None:
          return params
        head = config.critic.head
        return critic_network.with_initial_values(params, values, head)

      return self._program_of(made)

    key = (config.network, _of_critic(config.critic))
    program = self._once('init_critic', key, build)
    return program(draws, actor_params, values)

  def _critic_init(self, config: config_lib.Config) -> Callable[..., Any]:
    network = self.critic(config)

    def init(key, actor_params):
      params = network.init(key)
      return from_settings.critic_from_actor(params, actor_params)

    return init

  def place(self, tree: Any) -> Any:
    """A state or parameters on their devices."""
    if self.layout:
      return self.layout.place(tree)
    # Pinned, as what a checkpoint restores: other programs are compiled for
    # arguments that need not be where they are.
    return jax.device_put(tree, checkpoints.one_device())

  def compute(self, function: Callable[..., Any], *args: Any) -> Any:
    """Parameters, function(*args), on their devices."""
    return self._program_of(function)(*args)

  def _program_of(self, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as a program that leaves parameters on their devices."""
    if self.layout:
      return functools.partial(self.layout.init_sharded, function)
    jitted = loop.jit(function)
    return lambda *args: self.place(jitted(*args))

  def shapes(self, config: config_lib.Config) -> tuple[Any, Any]:
    """Shapes and types of the actor's and of the critics' parameters."""

    def build():
      key = jax.eval_shape(lambda: jax.random.key(0))
      init = self._actor_init(config)
      actor = jax.eval_shape(init, key, *self._init_args(config))
      if backbone_registry.is_fitted(config):
        return actor, None
      return actor, jax.eval_shape(self._critic_init(config), key, actor)

    key = (config.backbone, config.network, _of_critic(config.critic))
    return self._once('shapes', key, build)

  def shapes_left(self, config: config_lib.Config, name: str) -> Any:
    """Shapes and types of the parameters that a stage leaves under a name."""
    actor, critic = self.shapes(config)
    return critic if name == 'critic' else actor

  def _in_steps(
    self, config: config_lib.Config
  ) -> tuple[functional.Network, functional.Network, Callable[..., Any]]:
    """The actor and the critics that steps see, and how to wrap a step."""
    slots = _row_slots(config)
    if not slots:
      return self.actor(config), self.critic(config), lambda step: step
    spec, narrow = self.spec, lambda inputs: inputs
    seen = ignore.view(spec, config.network)
    if seen is not None:  # Tables have the rows of the seen fields alone.
      network = ignore.without(config.network, spec, seen)
      config = dataclasses.replace(config, network=network)
      spec, narrow = seen.spec, seen.narrow
    small = Models(embedding_rows.small_spec(spec, slots))
    return (
      small.actor(config),
      small.critic(config),
      lambda step: embedding_rows.on_rows(step, spec, narrow),
    )

  def balancer(
    self, config: config_lib.Config, epoch_steps: int = 1
  ) -> optax.GradientTransformationExtraArgs | None:
    """The balancer of stage 1; None: none.

    Raises:
      types.InputError: weights that are not those of these tasks.
    """
    return balancer_registry.make_balancer(
      config.pretrain.balancing,
      self.spec.num_tasks,
      epoch_steps,
      self.spec.tasks,
      'config.pretrain.balancing',
    )

  def _balance(self, config: config_lib.Config) -> balance_lib.Balance | None:
    """Stage 1's balancer as a part of its step."""
    link = self.balancer(config)
    if link is None:
      return None
    record = balancer_registry.find(config.pretrain.balancing.name)
    if record.acts_on == balancer_registry.LOSSES:
      return balance_lib.Balance(record, link)
    return balance_lib.Balance(record, link, self._shared(config))

  def _shared(self, config: config_lib.Config) -> Any:
    """Where the actor's parameters are shared."""
    key = (config.backbone, config.network)
    return self._once(
      'shared', key, lambda: shared.shared_parameters(self._plain, *key)
    )

  def _program(
    self,
    kind: str,
    config: config_lib.Config,
    key: tuple[Any, ...],
    make_step: Callable[[functional.Network, functional.Network], Any],
  ) -> Loop:
    """A step's program, one for the settings that make it.

    Args:
      kind: which step's.
      key: the settings that `make_step` reads.
      make_step: (actor, critics) -> the step.
    """

    def build():
      actor, critic, wrap = self._in_steps(config)
      step = wrap(make_step(actor, critic))
      pinned = self.layout.pin_step(step) if self.layout else step
      return loop.make_loop(pinned)

    return self._once(kind, (*key, _row_slots(config)), build)

  def pretrain(self, config: config_lib.Config) -> Loop:
    """Stage 1's."""
    balancing = config.pretrain.balancing
    if balancer_registry.find(balancing.name).is_static:
      # The weights are numbers in the balancer's state.
      balancing = dataclasses.replace(balancing, weights='')
    return self._actor_loop(
      config, config.pretrain.embedding_l2, balancing=balancing
    )

  def _actor_loop(
    self,
    config: config_lib.Config,
    embedding_l2: float = -1.0,
    weighting: config_lib.WeightingConfig | None = None,
    balancing: config_lib.BalancingConfig = _NO_BALANCING,
  ) -> Loop:
    """Of the actor without critics: stages 1 and 3 share it if they can."""
    l2 = config.pretrain.l2
    chain = weighting and weighting_chain.make_weighting(
      weighting, np.ones(self.spec.num_tasks)
    )
    return self._program(
      'actor',
      config,
      (*_of_actor(config), l2, embedding_l2, weighting, balancing),
      lambda actor, _: actor_lib.make_actor_step(
        actor,
        state.make_optimizer(0.0, l2, embedding_l2),
        chain,
        None if balancing == _NO_BALANCING else self._balance(config),
      ),
    )

  def train_critics(self, config: config_lib.Config) -> Loop:
    """Stage 2's; its extra rows are pi(s) and perhaps the logged actions.

    pi(s) is pi'(s) too, since the actor is frozen.
    """

    def make_step(_, critic):
      step = critic_lib.make_critic_step(
        critic, critic_optimizer(config), config.critic
      )
      return lambda s, batch, key, pi, logged=None: step(
        s, batch, key, pi if logged is None else logged, pi
      )

    return self._program(
      'train_critics',
      config,
      (config.network, config.critic),
      make_step,
    )

  def finetune(self, config: config_lib.Config) -> Loop:
    """Stage 3's; lambda is in the state."""
    weighting = dataclasses.replace(config.weighting, lambda_=0.0)
    record = weighting_registry.find(weighting.name)
    if record.leaves_losses:
      return self._actor_loop(config)
    if not record.asks_every_step:
      return self._actor_loop(config, weighting=weighting)
    return self._program(
      'finetune',
      config,
      (*_of_actor(config), config.pretrain.l2, weighting, config.critic),
      lambda actor, critic: finetune.make_finetune_step(
        actor,
        finetune_optimizer(config),
        weighting_chain.make_weighting(weighting),
        config,
        critic,
        critic_optimizer(config),
      ),
    )

  def predict(
    self, config: config_lib.Config, params: Any, split: split_data.Split
  ) -> np.ndarray:
    """Predictions of every row of a split, f32[R, K], in its order.

    They are on the labels' scale, of binary tasks probabilities. Of an
    ensemble, whose parameters are stacked, the mean over members.
    """
    return self.predicted(config, params, split).predictions

  def predicted(
    self, config: config_lib.Config, params: Any, split: split_data.Split
  ) -> forward.Predicted:
    """As `predict`, with the outputs that the predictions are made of."""
    network = self.predictor(config)
    row_map = self._once(
      'predicted',
      (
        config.backbone,
        config.network,
        config.ensemble,
        config.variants,
        variants.differ(config),
      ),
      lambda: self.row_map(
        lambda params, batch: forward.predicted(network, params, batch.inputs),
      ),
    )
    return feed.map_rows(row_map, params, split)

  def policy(
    self, config: config_lib.Config, params: Any, split: split_data.Split
  ) -> np.ndarray:
    """pi(s) of every row, f32[R, K]: predictions as actions in [0, 1]."""
    found = self.predict(config, params, split)
    return np.asarray(task_losses.actions(self.spec.losses, found))

  def probabilities(
    self, config: config_lib.Config, params: Any, split: split_data.Split
  ) -> np.ndarray:
    """`predict`, of the whole log where the run's data are sampled from it.

    Evaluation, calibration and tables use these; critics read pi(s) of the
    sampled rows.
    """
    return self.of_log(self.predict(config, params, split))

  def of_log(self, predictions: np.ndarray) -> np.ndarray:
    """Predictions of rows of the whole log, which data may be sampled from."""
    sampling = self.spec.sampling
    return predictions if sampling is None else sampling.correct(predictions)

  def values(
    self,
    config: config_lib.Config,
    params: Any,
    split: split_data.Split,
    policy: np.ndarray,
  ) -> np.ndarray:
    """Q_k(s, a_k) of every row of a split, f32[R, K], in its order."""
    extras = (split.put(policy),)
    return feed.map_rows(self.value_map(config), params, split, extras)

  def value_map(self, config: config_lib.Config) -> Callable[..., Any]:
    """The program of `values`."""
    network = from_settings.make_critic(
      self._plain, config.network, config.critic
    )
    return self._once(
      'value_map',
      (
        config.network,
        _of_critic(config.critic),
      ),
      lambda: self.row_map(
        lambda params, batch, actions: functional.apply(
          network, params, batch.inputs, actions
        ),
      ),
    )

  def td_errors(self, config: config_lib.Config) -> Callable[..., Any]:
    """Squared TD errors of rows, for feed.map_rows.

    Its parameters are (online critics, target critics, Draws), its extra
    rows those of `train_critics`; it gives (losses, whether there is a target).
    """

    of_batch = critic_lib.make_td_errors(self.critic(config), config.critic)

    def errors(params, batch, policy, logged=None):
      online, target, draws = params
      key = jax.random.fold_in(loop.random_key(draws), 0)
      logged = policy if logged is None else logged
      return of_batch(online, target, batch, logged, policy, key)

    return self._once(
      'td_errors',
      (config.network, config.critic),
      lambda: self.row_map(errors),
    )

  def row_map(
    self,
    function: Callable[..., Any],
  ) -> Callable[..., Any]:
    """See updates/loop.make_row_map; every process gets all values."""
    layout = self.layout
    if layout is None:
      return loop.make_row_map(function)

    def shared_out(params, *lanes):
      return function(params, *layout.shard_lanes(lanes))

    return loop.make_row_map(shared_out, layout.replicate)

  def _once(self, kind: str, key: Any, build: Callable[[], _Part]) -> _Part:
    key = kind, _hiding_any(key)
    if key not in self._built:
      self._built[key] = build()
    return self._built[key]


def pretrain_optimizer(
  config: config_lib.Config,
) -> optax.GradientTransformation:
  """The actor's in stage 1."""
  one = config.pretrain
  return state.make_optimizer(one.learning_rate, one.l2, one.embedding_l2)


def finetune_optimizer(
  config: config_lib.Config,
) -> optax.GradientTransformation:
  """The actor's in stage 3."""
  return state.make_optimizer(config.finetune.learning_rate, config.pretrain.l2)


def critic_optimizer(
  config: config_lib.Config,
) -> optax.GradientTransformation:
  """The critics', in stages 2 and 3."""
  return state.make_optimizer(config.critic.learning_rate, config.critic.l2)


def _of_actor(config: config_lib.Config) -> tuple[Any, ...]:
  """The settings that make another actor."""
  return config.backbone, config.network


def _hiding_any(key: Any) -> Any:
  """A key in which networks that hide other fields are the same."""
  if isinstance(key, config_lib.NetworkConfig) and key.has_shown:
    return dataclasses.replace(key, hide='none')
  return tuple(map(_hiding_any, key)) if isinstance(key, tuple) else key


def _row_slots(config: config_lib.Config) -> int:
  """Slots of a batch where steps see its embedding rows alone, else 0."""
  if config.network.embedding_adam == 'dense':
    return 0
  return config.batch.lanes * config.batch.lane_length


def _of_critic(critic: config_lib.CriticConfig) -> tuple[Any, ...]:
  """The settings of critics that make another network."""
  return critic.form, critic.head, critic.sees_remaining
