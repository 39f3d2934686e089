"""Every setting of a run, in frozen dataclasses grouped by part.

`--config.<group>.<field>=VALUE` sets one, `--preset=paper` those of the paper
(Liu et al., WWW 2023; config/presets.py). The defaults are the recommended
settings; 0 or `auto` means that the prepared data decide (recommended.py).
A field's type has its limits (limits.py), its docstring describes it:
checks, flags and docs/configuration.md are made from these. Rules between
settings follow the dataclasses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from rmtl_jax.config import cross_pairs
from rmtl_jax.config.limits import (
  Count,
  ListOf,
  NonNegative,
  Positive,
  Range,
  Registered,
  Share,
)

LayerSizes = Annotated[
  tuple[Annotated[int, Range(0, 2**20)], ...], ListOf('layer sizes')
]
Seeds = Annotated[tuple[Count, ...], ListOf('seeds', distinct=True)]


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
  """Sizes of the actor and of every critic (paper, section 4.1.4).

  Attributes:
    embedding_dim: width of every field's embedding; 0: by the data.
    embedding_scale: standard deviation of the embeddings' initial values, but
      for `official`.
    official: networks as in the authors' code: initial values by Xavier's rule
      (embeddings) and torch's default (linear layers), and all separate critics
      start as the first; ple feeds every expert that a task's gate sees that
      task's input; aitm sends a linear message from task to task, and one
      attention serves all of them. Without it embeddings are normal, of
      embedding_scale, and kernels by He's rule ahead of a ReLU and by LeCun's
      elsewhere; ple feeds shared experts the shared input (Tang et al., RecSys
      2020); an aitm message has a hidden layer and its own attention. Row
      0 of a vocabulary (missing, unseen, rare) starts at zero in both.
    embedding_adam: how steps of all stages update the embedding tables:
      `dense` updates all rows, `rows` those that the batch has, so that a
      step's cost does not grow with the vocabulary. Other rows then keep their
      moments and take no step (updates/embedding_rows.py). A vocabulary that
      is no larger than the slots of a batch can show is updated as a whole, and
      row 0 counts as one of every batch.
    table_multiple: the embedding tables' rows are a multiple of it, the last
      ones unused: a mesh can split them where its `model` axis divides that
      number (docs/scaling.md).
    bottom_units: layers of the bottom (or of an expert); 0: by the data.
    tower_units: layers of a task's tower, before its last layer of one unit;
      0: by the data.
    num_experts: experts of omoe and mmoe; ple has half of them shared and half
      of them for each task; adatt has as many in all, split over the tasks.
    dropout: rate after every hidden layer, training only.
    id_dropout: share of the categories that training replaces by row 0
      (unseen), so that row 0 learns what to expect of categories that train
      rows lack: a rate for all fields, as `0.3`, or rates of fields, as
      `user=0.3,item=0.1`. Lists of earlier items keep theirs unless named.
    ignore: fields that no network sees, joined by `+`: names of fields, of
      groups of as-of features (as `rmtl prepare --as_of` names them) or `asof`
      for all of these groups, as `rates+user_id`. A group that the data lacks
      is no mistake; a field is meant before a group of its name.
    hide: fields that are missing in every row that a network sees, named as
      in `ignore`, or `none`. It has parameters for them, so that members of an
      ensemble which hide other fields, or none, share compiled programs; with
      `embedding_adam=rows` it is `ignore`.
    crosses: pairs of categorical fields, as `segment*category+segment*brand`:
      every pair of their categories adds a term to each task's logit. Pairs
      with a field that is ignored or read as numbers are left out. Needs
      `embedding_adam=dense`. Actors only. `auto`: by the data.
    numeric_encoding: how numeric fields are read: `linear`, one linear layer
      to one block for all; or `piecewise`, by the bins between their quantiles
      over train rows, which manifest.json has, to a block for each
      (piecewise-linear encoding; Gorishniy et al., NeurIPS 2022). A field
      without quantiles has one bin, the whole line.
    binned_fields: how fields that were cut into bins are read, as-of features
      among them: as `categories`; or as `numbers`, the rank of the bin and
      whether there is one. With numbers comes, for each task, the sum of the
      log-odds of users' and items' as-of rates (data/binned.py).
    first_layer: `plain` works on every slot, `distinct` on the batch's
      distinct categories; `auto` is distinct where that was measured to be
      faster (a single CPU device, embeddings wider than 10), else plain. All
      give the same numbers, up to rounding.
  """

  embedding_dim: Annotated[int, Range(0, 2**16)] = 0
  embedding_scale: NonNegative = 0.01
  official: bool = False
  embedding_adam: Literal['dense', 'rows'] = 'dense'
  table_multiple: Annotated[int, Range(1, 2**20)] = 1
  bottom_units: LayerSizes = (0,)
  tower_units: LayerSizes = (0,)
  num_experts: Annotated[int, Range(1, 2**10)] = 4
  dropout: Annotated[float, Range(0.0, 0.95)] = 0.1
  id_dropout: str = '0'
  ignore: str = ''
  hide: str = ''
  crosses: str = 'auto'
  numeric_encoding: Literal['linear', 'piecewise'] = 'piecewise'
  binned_fields: Literal['categories', 'numbers'] = 'numbers'
  first_layer: Literal['auto', 'plain', 'distinct'] = 'auto'

  @property
  def has_shown(self) -> bool:
    """Whether hidden fields are a parameter of the network."""
    return bool(self.hide) and self.embedding_adam == 'dense'


@dataclasses.dataclass(frozen=True)
class CriticConfig:
  """The critics and stage 2 (paper, section 3.3).

  Attributes:
    form: `shared` (one bottom, one tower per task; the loss is the mean over
      tasks) or `separate` (one full network per task, each descends its own
      loss).
    head: `neg_softplus`, `linear` or `neg_relu` (the authors' code).
    discount: gamma.
    behaviour: the logged action, `policy` (pi(s) plus a little noise) or
      `uniform` (drawn once per row, the same in every pass of stage 2).
    initial_value: output of a fresh critic: a `constant`, or the
      `mean_return` that the pre-trained policy realised on train rows.
    sees_remaining: critics get the number of rows left in the session in
      the lane (of a session that is cut, as far as the cut).
      They only weigh losses of logged sessions, so nothing leaks into the
      actor, which must do without.
    official_targets: targets as in the authors' code: the minimum of the target
      and the online critics instead of the target critics; little noise on the
      target's action, one draw per task and batch; and dropout while critics
      give targets and weights.
    td_lambda: lambda of TD(lambda): 0 is the paper's one step, 1 the realised
      discounted return.
    soft_update: beta, the share of the online network in a target update.
    update_period: critic steps from one target update to the next; the first
      step has one.
    learning_rate: Adam's.
    l2: added to the gradient, as `Adam(weight_decay)` of torch does; it would
      erase embeddings that came from the actor and wait for their first row
      (docs/deviations.md).
    stopping: when stage 2 ends: the validation `td_error` has converged (the
      last pass is kept), or the `return_error`, that of Q(s, pi(s)) against
      the realised discounted returns, has (the best pass is kept).
    max_passes: most passes over the train rows.
    min_passes: fewest passes before convergence is tested.
    in_finetune: what critics do in stage 3: stay `frozen` (they have converged
      in stage 2: the paper's text, its first author, the authors' code) or go
      on `learning` (its Algorithm 1), which takes up to 2.7 times as long
      (docs/deviations.md).
  """

  form: Literal['shared', 'separate'] = 'shared'
  head: Literal['neg_softplus', 'linear', 'neg_relu'] = 'neg_softplus'
  discount: Share = 0.95
  behaviour: Literal['policy', 'uniform'] = 'policy'
  initial_value: Literal['constant', 'mean_return'] = 'mean_return'
  sees_remaining: bool = True
  official_targets: bool = False
  td_lambda: Share = 1.0
  soft_update: Share = 0.2
  update_period: Positive = 1
  learning_rate: NonNegative = 1e-3
  l2: NonNegative = 0.0
  stopping: Literal['td_error', 'return_error'] = 'return_error'
  max_passes: Annotated[int, Range(1, 10**6)] = 20
  min_passes: Count = 3
  in_finetune: Literal['learning', 'frozen'] = 'frozen'


@dataclasses.dataclass(frozen=True)
class WeightingConfig:
  """The weights of stage 3 (paper, section 3.4).

  Attributes:
    name: `critic` (1 - lambda Q), `label_times_q` (WL), `negative_q` (NLC),
      `constant` (CW), `advantage` (1 - lambda times Q centred and normalised
      over the batch; mean 1 per task); a control: `q_shuffled`,
      `constant_mean`; or without weighted losses `ddpg` (D-PLE on ple: the
      actor ascends mean_k Q_k(s, pi_k(s))).
    lambda_: the paper's lambda. A negative one (critic, advantage) trusts rows
      more with a good future; no weight is below 0 then.
    form: the weights that `q_shuffled` shuffles over the rows.
  """

  name: Annotated[str, Registered('weighting')] = 'critic'
  lambda_: Annotated[float, Range(-100.0, 100.0)] = 0.7
  form: Annotated[str, Registered('form')] = 'critic'


@dataclasses.dataclass(frozen=True)
class BalancingConfig:
  """Balancing of the tasks in stage 1 (docs/balancers.md).

  A number below 0 means the value of the balancer's paper; a balancer refuses
  settings that it does not have.

  Attributes:
    name: `equal` leaves the mean of the tasks' losses as it is.
    weights: of the tasks, as `click=1,conversion=3` or, in their order,
      `1,3` (a + may replace a comma): weights of `static`, preferences of
      `upgrad` and `dualproj`; they are divided by their mean. Empty: all equal.
    alpha: the strength: gradnorm's alpha, cagrad's c.
    learning_rate: of weights that learn (gradnorm, famo, imtl_l,
      homoscedastic_uncertainty).
  """

  name: Annotated[str, Registered('balancer')] = 'equal'
  weights: str = ''
  alpha: Annotated[float, Range(-1.0)] = -1.0
  learning_rate: Annotated[float, Range(-1.0)] = -1.0


@dataclasses.dataclass(frozen=True)
class PretrainConfig:
  """Stage 1: its optimizer, early stopping and balancer.

  Attributes:
    learning_rate: Adam's.
    l2: added to the gradient, as `Adam(weight_decay)` of torch does; in stage
      3 too.
    embedding_l2: the same for the embedding tables in stage 1; below 0: l2.
    max_epochs: most passes over the train rows; 0: by the data.
    patience: epochs without a better validation (evaluation.monitor) before
      stopping; 0: by the data.
    balancing: what balances the tasks.
  """

  learning_rate: NonNegative = 1e-3
  l2: NonNegative = 1e-6
  embedding_l2: Annotated[float, Range(-1.0)] = -1.0
  max_epochs: Annotated[int, Range(0, 10**6)] = 0
  patience: Count = 0
  balancing: BalancingConfig = BalancingConfig()


@dataclasses.dataclass(frozen=True)
class FinetuneConfig:
  """Stage 3, which stops after two epochs without a better validation.

  Attributes:
    learning_rate: Adam's.
    max_epochs: most passes over the train rows.
  """

  learning_rate: NonNegative = 1e-4
  max_epochs: Count = 5


@dataclasses.dataclass(frozen=True)
class BatchConfig:
  """How sessions become batches.

  Attributes:
    lanes: lanes of a batch (L); 0: by the data.
    lane_length: slots of a lane (T); longer sessions are cut.
    steps_per_dispatch: most steps in one call of the compiled loop.
    input: `resident` data is in memory and on the device, `streaming` reads a
      window at a time; `auto` streams what is larger than a quarter of the
      device's memory. The batches are the same.
  """

  lanes: Annotated[int, Range(0, 2**20)] = 0
  lane_length: Annotated[int, Range(2, 2**20)] = 64
  steps_per_dispatch: Annotated[int, Range(1, 2**20)] = 32
  input: Literal['auto', 'resident', 'streaming'] = 'auto'


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """Settings of evaluation.

  Attributes:
    bootstrap: session-bootstrap replicates of an interval; 0 means none. Ends
      are rare draws, so fewer than a thousand make them noisy.
    calibration: map fitted on validation, and kept where its first half's
      map lowers the loss of its last half: `platt`
      (logit' = a logit + b, held towards the raw model by a prior of some
      rows; numbers from 0 on have a power times a number) or `none`.
    monitor: what stages 1 and 3 stop on, and what rmtl tune and compare choose
      by, over the validation rows: the mean `auc` of the tasks, or their mean
      `logloss`, each in units of that of its rate.
  """

  bootstrap: Annotated[int, Range(0, 10**6)] = 1000
  calibration: Literal['none', 'platt'] = 'platt'
  monitor: Literal['auc', 'logloss'] = 'logloss'


@dataclasses.dataclass(frozen=True)
class CompareConfig:
  """Methods and seeds of `rmtl compare`.

  Attributes:
    methods: each
      BACKBONE[/BALANCER][+WEIGHTING[@CRITIC_BACKBONE]][:SETTING=VALUE ...]: a
      backbone alone is its pre-trained model; / balances the losses of stage 1
      (docs/balancers.md); @ takes the critics that were trained for another
      backbone; settings are of network, pretrain, critic, weighting,
      finetune or batch, or ensemble. The controls of every method are added; of
      backbones alone the first is the control of the others.
    seeds: of the paired runs; 16 for a claim.
    learning_rates: of stage 3, tried for every method and control alike; the
      best mean of evaluation.monitor over the tuning seeds decides.
    tuning_seeds: how many of the seeds tune the learning rate.
  """

  methods: Annotated[tuple[str, ...], ListOf('methods', distinct=True)] = (
    'ple+critic',
  )
  seeds: Seeds = (0, 1, 2, 3, 4)
  learning_rates: Annotated[
    tuple[Annotated[float, Range(0.0, 1e3)], ...],
    ListOf('learning rates', distinct=True),
  ] = (1e-3, 3e-4, 1e-4)
  tuning_seeds: Positive = 4


@dataclasses.dataclass(frozen=True)
class Config:
  """A run.

  Attributes:
    backbone: the actor (rmtl_jax/networks/backbone_registry.py).
    seed: of parameters, shuffles, dropout and noise.
    ensemble: M members with different seeds, each a separate run in
      RUN/members, and predict as one model, by the mean of their
      probabilities. Member 0 is the model of the seed. 0: by the data; 1 is
      their first member alone.
    variants: settings in which the members of an ensemble differ:
      SETTING=VALUE:SETTING=VALUE for each variant, joined by `;`; the members
      take them in turn. `network.ignore=user;` makes every
      other member one that does not see `user`. Such members are weighed on
      validation, each task's by the lowest logloss of their logits' mean.
      `auto`: by the data, or none where `ensemble` is 1.
    delayed: how train rows without a final label are trained on, of tasks with
      `within_seconds` (docs/when_weighting_helps.md): `drop` leaves them out,
      `zero` takes what was seen, `row` and `critic` the probability
      that the event still comes, `dfm` and `es_dfm` are published controls.
    control: fine-tune a second actor with constant weights: same batches,
      keys, steps and learning rate.
    network: sizes.
    pretrain: stage 1.
    critic: stage 2.
    finetune: stage 3.
    weighting: the weights of stage 3.
    batch: how sessions become batches.
    evaluation: what evaluation computes.
    checkpoint_minutes: between checkpoints inside of a long pass. After a
      short one none is saved within ten seconds of the last.
    compare: what `rmtl compare` runs; the other commands ignore it.
  """

  backbone: Annotated[str, Registered('backbone')] = 'ple'
  seed: Count = 0
  ensemble: Annotated[int, Range(0, 64)] = 0
  variants: str = 'auto'
  delayed: Annotated[str, Registered('delayed')] = 'drop'
  control: bool = True
  network: NetworkConfig = NetworkConfig()
  pretrain: PretrainConfig = PretrainConfig()
  critic: CriticConfig = CriticConfig()
  finetune: FinetuneConfig = FinetuneConfig()
  weighting: WeightingConfig = WeightingConfig()
  batch: BatchConfig = BatchConfig()
  evaluation: EvaluationConfig = EvaluationConfig()
  checkpoint_minutes: NonNegative = 10.0
  compare: CompareConfig = CompareConfig()

  def with_network(self, **settings: Any) -> Config:
    """The config with some settings of the network changed."""
    network = dataclasses.replace(self.network, **settings)
    return dataclasses.replace(self, network=network)


def faults(config: Config) -> Iterator[str]:
  """Combinations that are refused: the setting's name, and what is wrong."""
  # The registries import the settings.
  from rmtl_jax.balancing import balancer_registry as balancers
  from rmtl_jax.networks import backbone_registry as backbones
  from rmtl_jax.weighting import weighting_registry as weightings

  network, weighting = config.network, config.weighting
  backbone = backbones.BACKBONES.find(config.backbone)
  for name in ('bottom_units', 'tower_units'):
    units = getattr(network, name)
    if 0 in units and len(units) > 1:
      yield f'network.{name}: {units!r:.80}: 0, by the data, is alone'
  if network.num_experts < backbone.min_experts:
    yield (
      f'network.num_experts: {config.backbone} needs at least'
      f' {backbone.min_experts}'
    )
  if network.crosses not in ('', 'auto'):
    cross_pairs.pairs(network.crosses)
    if network.embedding_adam != 'dense':
      yield (
        f'network.embedding_adam: {network.embedding_adam} numbers the'
        ' categories of each batch, which crosses cannot have;'
        ' --config.network.crosses= does without'
      )
  # A negative lambda would ascend some losses.
  form, any_sign = weightings.form_of(weighting), weightings.ANY
  if weighting.lambda_ < 0.0 and form.lambda_ != any_sign:
    able = [f.name for f in weightings.FORMS.values() if f.lambda_ == any_sign]
    yield (
      f'weighting.lambda_: {weighting.lambda_!r:.80} is negative, which'
      f' {form.name} does not support; {", ".join(able)} do'
    )
  balancing = config.pretrain.balancing
  balancer = balancers.find(balancing.name)
  for field in dataclasses.fields(balancing)[1:]:
    changed = getattr(balancing, field.name) != field.default
    if changed and field.name not in balancer.settings:
      yield (
        f'pretrain.balancing.{field.name}: {balancing.name} does not have it;'
        f' it takes {", ".join(balancer.settings) or "no settings"}'
      )
  if backbone.by_task and balancer.acts_on == balancers.GRADIENTS:
    yield (
      f'pretrain.balancing.name: {balancing.name} combines the gradients of'
      f' parameters that tasks share, and {config.backbone} shares none'
    )
  if (
    backbones.is_fitted(config) and config.ensemble > 1 and not config.variants
  ):
    yield (
      f'ensemble: {config.backbone} has members of other networks alone, which'
      ' --config.variants names; expected --config.ensemble=1'
    )
