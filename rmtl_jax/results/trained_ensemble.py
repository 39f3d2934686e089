"""The models of a run as one: a single one, or an ensemble's members."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np
from scipy import special

from rmtl_jax import clock, json_files, types
from rmtl_jax import config as config_lib
from rmtl_jax.config import kinds
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.evaluation import mixing
from rmtl_jax.networks import backbone_registry, members_mean
from rmtl_jax.ops import task_losses
from rmtl_jax.runtime import stages, workdir
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import saved, split_data
from rmtl_jax.updates import forward

_Part = TypeVar('_Part')

# A member with less weight than this of every task is left out.
_LEAST_WEIGHT = 0.05


class CriticValues(NamedTuple):
  """Values of rows by one member's critics.

  Attributes:
    config: the member's settings.
    policy: pi(s) of its pre-trained actor, f32[R, K].
    q_values: Q(s, pi(s)), f32[R, K].
  """

  config: config_lib.Config
  policy: np.ndarray
  q_values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Ensemble:
  """The finished stages of a run.

  Attributes:
    models: of the run's data.
    configs: the settings of each member.
    members: the finished stages of each; one of a run that is one model.
    weights: of members of several networks, f32[M, K] by the actor's name;
      equal where there are none.
    known: what `of_member` has computed.
  """

  models: models_lib.Models
  configs: tuple[config_lib.Config, ...]
  members: tuple[saved.FinishedStages, ...]
  weights: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  known: dict[Any, forward.Predicted] = dataclasses.field(default_factory=dict)

  @property
  def names(self) -> list[str]:
    """Of the actors that every member has."""
    return [
      name
      for name in stages.ACTORS
      if all(name in one.results for one in self.members)
    ]

  @functools.cached_property
  def actors(self) -> dict[str, Any]:
    """Parameters of the actors that every member has, by name.

    Those of an ensemble are as networks/ensemble.make_ensemble or, of members
    of several networks, make_mixture wants them.
    """
    return {
      name: self._joined(
        name, [one.results[name].params for one in self.members]
      )
      for name in self.names
    }

  def of_member(
    self, m: int, name: str, split: split_data.Split
  ) -> forward.Predicted:
    """What a member's actor says of a split's rows, computed once."""
    results = self.members[m].results
    if 'pretrain' in results and not results[name].epoch:
      name = 'pretrain'  # an arm of stage 3 that kept epoch 0
    key = m, name, results[name].epoch, split
    if key not in self.known:
      with clock.part('predicting'):
        self.known[key] = self.models.predicted(
          self.configs[m], results[name].params, split
        )
    return self.known[key]

  def predict(self, name: str, split: split_data.Split) -> np.ndarray:
    """Predictions of every row, f32[R, K]; see networks/members_mean.py.

    The mean of the members' predictions; of members of several networks, that
    of the weighted mean of their outputs.
    """
    if not self.is_mixture:
      found = [
        self.of_member(m, name, split).predictions
        for m in range(len(self.members))
      ]
      return np.mean(found, axis=0)
    losses, count = self.models.spec.losses, len(self.members)
    equal = np.full((count, self.models.spec.num_tasks), 1 / count, np.float32)
    weights = self.weights.get(name, equal)
    if losses:
      weights = np.repeat(weights, [one.outputs for one in losses], axis=1)
    outputs = sum(
      weight * self.of_member(m, name, split).outputs
      for m, weight in enumerate(weights)
      if np.any(weight)
    )
    if not losses:
      return special.expit(outputs)
    return np.asarray(task_losses.predictions(losses, jnp.asarray(outputs)))

  def probabilities(self, name: str, split: split_data.Split) -> np.ndarray:
    """As `predict`, of rows of the whole log (`Models.probabilities`)."""
    return self.models.of_log(self.predict(name, split))

  @property
  def is_mixture(self) -> bool:
    """Whether members differ in more than their seed and what they evaluate."""
    evaluation = self.configs[0].evaluation
    same = {
      dataclasses.replace(one, seed=0, evaluation=evaluation)
      for one in self.configs
    }
    return len(same) > 1

  def _joined(self, name: str, params: Sequence[Any]) -> Any:
    """The members' parameters as one actor's, with the weights of `name`."""
    if self.is_mixture:
      return members_mean.mixture(params, self.weights.get(name))
    if len(params) == 1:
      return params[0]
    return self.models.compute(members_mean.stack, *params)

  def best_epochs(self, name: str) -> list[int]:
    """The epoch that was kept of an actor, one per member; [] if unfinished."""
    return [
      one.results[name].epoch for one in self.members if name in one.results
    ]

  def once(self, of: Callable[[str], _Part]) -> Callable[[str], _Part]:
    """Has what is computed of an actor computed once for equal ones.

    Arms of stage 3 whose members all kept epoch 0 are the pre-trained actor.

    Args:
      of: takes the actor's name.
    """
    kept = functools.cache(of)

    def by_name(name: str) -> _Part:
      is_same = 'pretrain' in self.names and not any(self.best_epochs(name))
      return kept('pretrain' if is_same else name)

    return by_name

  def critic_values(self, split: split_data.Split) -> list[CriticValues]:
    """Q(s, pi(s)) of every row, by member; [] unless stage 2 has finished.

    Each member's critics evaluate its own policy; trees have none.
    """
    learn = [
      (m, config)
      for m, config in enumerate(self.configs)
      if not backbone_registry.is_fitted(config)
    ]
    if not all('critic' in self.members[m].results for m, _ in learn):
      return []
    found = []
    for m, config in learn:
      predicted = self.of_member(m, 'pretrain', split).predictions
      policy = task_losses.actions(self.models.spec.losses, predicted)
      policy = np.asarray(policy)
      critic = self.members[m].results['critic'].params
      q_values = self.models.values(config, critic, split, policy)
      found.append(CriticValues(config, policy, q_values))
    return found

  @property
  def history(self) -> list[dict[str, Any]]:
    """The members' records of epochs, stage by stage, with `member`."""
    if len(self.members) == 1:
      return self.members[0].history
    entries = [
      {**entry, 'member': m}
      for m, one in enumerate(self.members)
      for entry in one.history
    ]
    return in_order(entries)


def in_order(history: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
  """Records of epochs, stage by stage, though one was trained again later."""
  return sorted(history, key=lambda entry: stages.NUMBERS[entry['stage']])


def restore(
  run: workdir.Run,
  models: models_lib.Models | None = None,
  names: Sequence[str] = stages.LEAVES,
  to_predict: bool = False,
) -> Ensemble:
  """The finished stages of a run, or of all members of an ensemble.

  Args:
    models: of its data; None: built here, on one device.
    names: of what stages leave.
    to_predict: whether members without weight are left out, () for each.

  Raises:
    checkpoints.Damaged: a damaged checkpoint, which is named.
    types.InputError: metrics.json has no valid weights.
  """
  runs = run.members
  models = models or models_lib.Models(run.manifest.feature_spec())
  weights = saved_weights(run)

  def restored(m: int) -> saved.FinishedStages:
    dropped = [
      name
      for name in names
      if to_predict and name in weights and not np.any(weights[name][m])
    ]
    kept = [name for name in names if name not in dropped]
    found = saved.restore(runs[m], models, names=kept)
    found.results |= dict.fromkeys(dropped, saved.Result((), 0))
    return found

  configs = tuple(one.config for one in runs)
  members = tuple(map(restored, range(len(runs))))
  return Ensemble(models, configs, members, weights)


def weighted(
  trained: Ensemble, validation: split_data.Split, run: workdir.Run
) -> Ensemble:
  """With weights from validation rows, where members differ in their network.

  Args:
    run: that has trained them; a refit has the weights that were fitted before
      it learnt from these rows.

  Raises:
    types.InputError: a refit without valid ones.
  """
  if not trained.is_mixture:
    return trained
  if run.refit_of:
    weights = _weights_of(
      run, run.refit_of, f'{run.path}/config.json: refit_of'
    )
    return dataclasses.replace(trained, weights=weights)
  return fitted(trained, validation)


def fitted(trained: Ensemble, validation: split_data.Split) -> Ensemble:
  """With weights from these rows, where members differ in their network."""
  if not trained.is_mixture:
    return trained
  host = validation.host

  def fit(name: str) -> np.ndarray:
    probabilities = [
      trained.of_member(m, name, validation).predictions
      for m in range(len(trained.members))
    ]
    # Members are mixed before what they say is corrected for sampling.
    return without_small(
      mixing.fit_weights(
        np.stack(probabilities),
        host.labels,
        [one.kind == kinds.BINARY for one in host.losses],
        columns_lib.mean_one(host.sample_weight),
        host.session,
      )
    )

  by_name = trained.once(fit)
  weights = {name: by_name(name) for name in trained.names}
  return dataclasses.replace(trained, weights=weights)


def without_small(weights: np.ndarray) -> np.ndarray:
  """Leaves out members with little weight of every task.

  >>> without_small(np.array([[0.8, 0.96], [0.2, 0.04], [0.0, 0.0]])).tolist()
  [[0.8, 0.96], [0.2, 0.04], [0.0, 0.0]]
  >>> without_small(np.array([[0.96], [0.04]])).tolist()
  [[1.0], [0.0]]

  Args:
    weights: f32[M, K], of sum 1 over the members.
  """
  kept = np.any(weights >= _LEAST_WEIGHT, axis=1, keepdims=True)
  if not np.any(kept):  # of so many members all have little
    return weights
  rest = np.where(kept, weights, 0.0)
  return rest / rest.sum(0)


def saved_weights(run: workdir.Run) -> dict[str, np.ndarray]:
  """Reads `member_weights` of RUN/metrics.json; {} before there are any.

  Raises:
    types.InputError: the file has no valid ones.
  """
  path = run.path / 'metrics.json'
  if not (run.config.variants and path.exists()):
    return {}
  return _weights_of(run, json_files.read(path), str(path))


def _weights_of(
  run: workdir.Run, record: Mapping[str, Any], source: str
) -> dict[str, np.ndarray]:
  """Reads `member_weights` of a record, which errors call `source`."""
  where = f'{source}: member_weights'
  with json_files.parsing(where):
    found = {
      name: np.array(
        [by_task[task] for task in run.manifest.task_names], np.float32
      ).T
      for name, by_task in record.get('member_weights', {}).items()
    }
  shape = (run.config.ensemble, len(run.manifest.task_names))
  for name, weights in found.items():
    if weights.shape != shape or not np.all(weights >= 0):
      raise types.InputError(f'{where}.{name}: expected {shape} weights')
  return found


def weights_record(
  trained: Ensemble, tasks: Sequence[str]
) -> dict[str, dict[str, list[float]]]:
  """{stage: {task: a weight per member}}."""
  return {
    name: {
      task: [float(w) for w in weights[:, k]] for k, task in enumerate(tasks)
    }
    for name, weights in trained.weights.items()
  }
