"""The registry of weightings.

A weighting is one `Weighting`. Settings, steps, comparisons and reports read
its record; none of them tests for a name. This module imports no JAX, so that
command lines are checked before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import registry

# When critics are asked: in every step, once before the first step, or never.
STEP, START, NEVER = 'step', 'start', 'never'
# Allowed lambdas: any number, at least 0, or none (it has no lambda).
ANY, POSITIVE, NONE = 'any', 'positive', 'none'
# Argument of `make`: lambda, the link of `config.weighting.form`, or the mean
# of RMTL's weights over the train rows.
LAMBDA, LINK, MEANS = 'lambda', 'link', 'means'


@dataclasses.dataclass(frozen=True)
class Weighting:
  """One weighting of stage 3.

  Attributes:
    name: value of `config.weighting.name`.
    label: short description, in tables.
    make: gives the Optax link that weighs the cotangent of the row losses, from
      the argument that `takes` names (weighting/scale_by_q.py lists its extra
      arguments); None leaves row losses unchanged.
    takes: LAMBDA (f32[], traced), LINK or MEANS (f32[K]).
    formula: its weights in words, for reports; '' where no loss has a weight.
    short: its name in narrow tables; the name if empty.
    asks: when critics are evaluated: STEP, START or NEVER.
    lambda_: what lambda may be: ANY, POSITIVE or NONE.
    relative: whether means over the batch's rows go into its weights.
    own_shuffle: whether its control shuffles its own weights over the rows;
      else RMTL's are shuffled.
    control: whether it is one of the controls that every method has to beat.
    ascends_q: the actor descends -Q of its actions instead of row losses.
  """

  name: str
  label: str
  make: Callable[..., Any] | None = None
  takes: str = LAMBDA
  formula: str = ''
  short: str = ''
  asks: str = STEP
  lambda_: str = POSITIVE
  relative: bool = False
  own_shuffle: bool = False
  control: bool = False
  ascends_q: bool = False

  def __post_init__(self):
    """Raises types.InputError for unknown `asks`, `takes` or `lambda_`."""
    what = f'weighting {self.name}'
    registry.check(f'{what}: takes', [self.takes], (LAMBDA, LINK, MEANS))
    registry.check(f'{what}: asks', [self.asks], (STEP, START, NEVER))
    registry.check(f'{what}: lambda_', [self.lambda_], (ANY, POSITIVE, NONE))

  @property
  def needs_critics(self) -> bool:
    """Whether stage 2 comes before its stage 3."""
    return self.asks != NEVER

  @property
  def asks_every_step(self) -> bool:
    """Whether every step of stage 3 evaluates the critics."""
    return self.asks == STEP

  @property
  def leaves_losses(self) -> bool:
    """Whether stage 3 descends the unweighted row losses."""
    return self.make is None and not self.ascends_q

  @property
  def by_row(self) -> bool:
    """Whether weights differ by row, so that they can be shuffled."""
    return (
      self.make is not None and self.takes == LAMBDA and self.asks_every_step
    )


RECORDS = registry.Registry(
  'weighting',
  (
    Weighting(
      'critic',
      'RMTL: weights 1 - lambda Q',
      registry.lazy('rmtl_jax.weighting.scale_by_q', 'scale_by_critic'),
      formula='the weights 1 - lambda Q',
      short='RMTL',
      lambda_=ANY,
    ),
    Weighting(
      'label_times_q',
      'WL: weights 1 - lambda y Q',
      registry.lazy('rmtl_jax.weighting.scale_by_q', 'scale_by_label_times_q'),
      formula="the weights 1 - lambda y Q, where y is the row's label",
    ),
    Weighting(
      'negative_q',
      'NLC: weights -Q',
      registry.lazy('rmtl_jax.weighting.scale_by_q', 'scale_by_negative_q'),
      formula='the weights -Q',
      lambda_=NONE,
    ),
    Weighting(
      'advantage',
      'weights 1 - lambda A, A is Q centred and normalised',
      registry.lazy('rmtl_jax.weighting.relative', 'scale_by_advantage'),
      formula=(
        'the weights 1 - lambda A, where A is Q centred and divided by its'
        ' deviation, not below 0 and divided by their mean'
      ),
      short='RMTL',
      lambda_=ANY,
      relative=True,
      own_shuffle=True,
    ),
    Weighting(
      'q_shuffled',
      'control: RMTL weights, shuffled over rows',
      registry.lazy('rmtl_jax.weighting.scale_by_q', 'shuffle_weights'),
      takes=LINK,
      control=True,
    ),
    Weighting(
      'constant_mean',
      'control: mean RMTL weight per task',
      registry.lazy('rmtl_jax.weighting.scale_by_q', 'scale_by_task'),
      takes=MEANS,
      formula=(
        'one constant per task, the mean of 1 - lambda Q over the train rows'
      ),
      asks=START,
      lambda_=ANY,
      control=True,
    ),
    Weighting(
      'constant', 'constant weights', asks=NEVER, lambda_=ANY, control=True
    ),
    Weighting(
      'ddpg',
      'DDPG: the actor climbs Q, no weighted loss',
      lambda_=NONE,
      ascends_q=True,
    ),
  ),
)
find = RECORDS.find


class _Forms(Mapping[str, Weighting]):
  """Weightings that `q_shuffled` can shuffle: `config.weighting.form`."""

  def __getitem__(self, name: str) -> Weighting:
    if name not in set(self):
      raise KeyError(name)
    return RECORDS[name]

  def __iter__(self) -> Iterator[str]:
    return (name for name, one in RECORDS.items() if one.by_row)

  def __len__(self) -> int:
    return sum(1 for _ in self)


FORMS = _Forms()
# Every method has to beat these: same batches, keys and steps, but nothing that
# critics know of a row.
CONTROLS = tuple(
  sorted(
    (name for name, one in RECORDS.items() if one.control),
    key=lambda name: (NEVER, START, STEP).index(RECORDS[name].asks),
  )
)


def form_of(config: config_lib.WeightingConfig) -> Weighting:
  """The weighting that gives the weights: itself, or the form it shuffles."""
  record = find(config.name)
  return find(config.form) if record.takes == LINK else record


def needs_critics(name: str) -> bool:
  """Whether stage 2 comes before its stage 3; one that is unknown does."""
  return name not in RECORDS or RECORDS[name].needs_critics


def short(name: str) -> str:
  """Its name in narrow tables."""
  record = RECORDS.get(name)
  return (record.short if record else '') or name


def label(name: str, form: str = '') -> str:
  """Label of a weighting.

  Args:
    name: of a run's weighting; one that is not registered here stays a name.
    form: the weighting that is shuffled, if any.
  """
  record = RECORDS.get(name)
  if record is None:
    return name
  default = config_lib.WeightingConfig().form
  if record.takes == LINK and form not in ('', default):
    return f'control: weights of {form}, shuffled over rows'
  return record.label


def register_weighting(
  name: str,
  scale_by: Callable[[Any], Any],
  *,
  label: str = '',
  formula: str = '',
) -> None:
  """Adds weights of the caller's own under a new name.

  From then on, in this process, `config.weighting.name` may have that name,
  and `config.weighting.form`: `q_shuffled` can shuffle these weights. Another
  process that reads such a run must register it again.

  Examples:
    Only rows count whose future looks worse than -lambda:

        def scale_by_worst(lambda_):
          return rmtl_jax.stateless(
            lambda updates, q_values, **_: updates * (q_values < -lambda_)
          )

        rmtl_jax.register_weighting('worst', scale_by_worst)

  Args:
    name: not one that exists.
    scale_by: lambda (f32[], traced) -> an Optax transformation that multiplies
      f32[L, T, K] by weights >= 0; weighting/scale_by_q.py lists its extra
      arguments, and `rmtl_jax.stateless` makes one of a function.
      Weights must not depend on what they multiply. Its state, if it has one,
      is kept in checkpoints; `init` is called with an array whose last axis is
      the tasks: the state's form may depend on their number, not on lambda.
    label: what it is, in tables; the name if empty.
    formula: its weights in words, for reports.

  Raises:
    types.InputError: the name is taken.
  """
  RECORDS.register(
    Weighting(
      name,
      label or name,
      scale_by,
      formula=formula or f'the weights of {name}',
      own_shuffle=True,
    )
  )
