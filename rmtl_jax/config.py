"""Every setting of a run, in frozen dataclasses grouped by part.

`--config.<group>.<field>=VALUE` sets one; `preset('official')` changes many.
The defaults are the paper's form (Liu et al., WWW 2023) unless a comment says
otherwise.
"""

from __future__ import annotations

import dataclasses

from rmtl_jax import types

PRESETS = ('paper', 'official')
SCHEDULES = ('constant', 'cosine', 'linear')


@dataclasses.dataclass(frozen=True)
class NetworkConfig:
  """Sizes of the actor and of every critic (paper, section 4.1.4).

  Attributes:
    embedding_dim: width of every field's embedding.
    embedding_scale: standard deviation of the embeddings' initial values where
      init is `scaled`.
    init: initial values: `scaled` (embeddings normal, of embedding_scale;
      kernels by He's rule ahead of a ReLU and by LeCun's elsewhere; biases 0)
      or `torch` (embeddings by Xavier's rule, linear layers by torch's
      default, and all separate critics start as the first: the authors' code).
      Row 0 of a vocabulary (missing, unseen, rare) starts at zero in both.
    embedding_adam: what a step of any stage does with the embedding tables:
      `dense` updates all rows, `rows` those that the batch has, so that a
      step's cost does not grow with the vocabulary. Other rows then keep their
      moments and take no step (updates/rows.py).
    table_multiple: the embedding tables' rows are a multiple of it, the last
      ones unused: a mesh can split them where its `model` axis divides that
      number (docs/many_devices.md).
    bottom_units: layers of the bottom (or of an expert).
    tower_units: layers of a task's tower, before its last layer of one unit.
    num_experts: experts of omoe and mmoe; ple has half of them shared and
      half of them for each task.
    dropout: rate after every hidden layer, training only.
    id_dropout: share of the categories that training replaces by row 0
      (unseen), so that row 0 learns what to expect of categories that train
      rows lack: a rate for all fields, as `0.3`, or rates of fields, as
      `user=0.3,item=0.1`. Lists of earlier items keep theirs unless named.
    expert_input: ple only: `own` feeds task experts their task's input and
      shared experts the shared input (Tang et al., RecSys 2020); `gate` feeds
      every expert that a task's gate sees that task's input (the authors'
      code).
    aitm_transfer: aitm only: what a task sends to the next passes a `hidden`
      layer (ReLU, dropout), and every transfer has an attention of its own; or
      a `linear` layer, and one attention serves all transfers (the authors'
      code).
    expert_form: how E experts run: `separate` GEMMs, one `batched`
      contraction, or `auto` (separate on CPU, batched elsewhere).
    ignore: fields that no network sees, joined by `+`: names of fields, of
      groups of as-of features (as `rmtl prepare --as_of` names them) or `asof`
      for all of these groups, as `rates+user_id`. A group that the data lacks
      is no mistake; a field is meant before a group of its name.
    session_encoder: the session so far as one more block of the features,
      from the item's embeddings of the rows of earlier times: `none`, their
      `mean`, `target_attention` (of the row's own item), `gru` or
      `transformer`. No free win: choose on validation.
    affinity_dim: factors of every category, for the affinity of user and item
      that is added to every task's logit beside the towers, with a term per
      category (contrib/affinity); 0 for none. Its decay is learnt, by
      field. Data tell which fields are the user's and which the item's
      (manifest.json, `side`). Actors only.
    affinity_state: the user's side of it: the `user`'s factors throughout, or
      those of the `session`, which every positive draws to what was shown, as
      soon as the next row knows of it (as-of group `feedback`; without it, or
      where `previous` is 0 in manifest.json, they stay the user's).
    history_encoder: how lists of the user's earlier items are read (as-of
      group `history`; without it the setting does nothing): the `mean` of
      their embeddings, `target_attention` (of the row's own item) or `none`.
    first_layer: `plain` works on every slot, `distinct` on the batch's
      distinct categories; `auto` is distinct where that was measured to be
      faster (a single CPU device, wide embeddings), else plain. All give the
      same numbers, up to rounding.
    matmul_precision: of products with kernels: `default` leaves their float32
      operands to the device (CPUs keep them, TPUs and some GPUs round them
      unless JAX_DEFAULT_MATMUL_PRECISION says otherwise); `bfloat16` rounds
      operands on every device, CPUs too, and sums in float32. Parameters,
      activations and the optimizer are float32 either way.
  """

  embedding_dim: int = 128
  embedding_scale: float = 0.01
  init: str = 'scaled'
  embedding_adam: str = 'dense'
  table_multiple: int = 1
  bottom_units: tuple[int, ...] = (512, 256)
  tower_units: tuple[int, ...] = (128, 64)
  num_experts: int = 8
  dropout: float = 0.2
  id_dropout: str = '0'
  expert_input: str = 'own'
  aitm_transfer: str = 'hidden'
  expert_form: str = 'auto'
  ignore: str = ''
  session_encoder: str = 'none'
  affinity_dim: int = 0
  affinity_state: str = 'user'
  history_encoder: str = 'mean'
  first_layer: str = 'auto'
  matmul_precision: str = 'default'

  @property
  def reads_sessions(self) -> bool:
    """Whether a row's logits depend on rows before it in its lane."""
    moves = self.affinity_dim > 0 and self.affinity_state == 'session'
    return moves or self.session_encoder != 'none'


@dataclasses.dataclass(frozen=True)
class CriticConfig:
  """The critics and stage 2 (paper, section 3.3).

  Attributes:
    form: `shared` (one bottom, one tower per task; the loss is the mean over
      tasks) or `separate` (one full network per task, each descends its own
      loss).
    head: `neg_softplus`, `linear` or `neg_relu` (the authors' code).
    discount: gamma.
    reward: `log_likelihood` (Eq. 3) or `absolute_error`.
    behaviour: the logged action, `policy` (pi(s) plus noise) or `uniform`
      (drawn once per row, the same in every pass of stage 2).
    behaviour_noise: standard deviation of the noise added to the policy.
    behaviour_noise_clip: largest absolute noise added to the policy.
    members: critics of each task, with parameters and dropout of their own;
      Q is their mean, and their spread says how sure they are.
    initial_value: what a fresh critic says: a `constant`, or the
      `mean_return` that the pre-trained policy realised on train rows.
    sees_remaining: critics are told how many rows of the session are left in
      the lane (of a session that is cut, as far as the cut).
      They only weigh losses of logged sessions, so nothing leaks into the
      actor, which must do without.
    estimate: the target's value: the target critic's (`target`) or the
      `minimum` of target and online critic (the authors' code).
    n_steps: rewards in a target before the target critic's value; 1 is the
      paper's.
    td_lambda: lambda of TD(lambda): 0 is the paper's one step, 1 the realised
      discounted return.
    target_noise: standard deviation of the target action's noise (TD3).
    target_noise_clip: largest absolute noise of the target action.
    target_noise_draw: one draw per `row`, and the action stays in [0, 1]
      (TD3); or one per task and `batch`, and it may leave that range (the
      authors' code).
    soft_update: beta, the share of the online network in a target update.
    update_period: critic steps from one target update to the next; the first
      step has one.
    target_dropout: dropout active while critics give targets and weights
      (the authors' code).
    learning_rate: Adam's.
    l2: added to the gradient, as `Adam(weight_decay)` of torch does; it would
      erase embeddings that came from the actor and wait for their first row
      (docs/deviations.md).
    clip_norm: largest global gradient norm; 0 means no clipping.
    stopping: when stage 2 ends: the validation `td_error` has converged (the
      last pass is kept), or the `return_error`, that of Q(s, pi(s)) against
      the realised discounted returns, has (the best pass is kept).
    max_passes: most passes over the train rows.
    min_passes: fewest passes before convergence is tested.
    min_improvement: relative improvement of that validation error, against
      the best of the last two passes, under which the critics have converged.
    in_finetune: what critics do in stage 3: stay `frozen` (they have converged
      in stage 2: the paper's text, its first author, the authors' code) or go
      on `learning` (its Algorithm 1), which takes up to 2.7 times as long
      (docs/deviations.md).
  """

  form: str = 'shared'
  head: str = 'neg_softplus'
  discount: float = 0.95
  reward: str = 'log_likelihood'
  behaviour: str = 'policy'
  behaviour_noise: float = 0.05
  behaviour_noise_clip: float = 0.1
  members: int = 1
  initial_value: str = 'constant'
  sees_remaining: bool = False
  estimate: str = 'target'
  n_steps: int = 1
  td_lambda: float = 0.0
  target_noise: float = 0.0
  target_noise_clip: float = 3e-3
  target_noise_draw: str = 'row'
  soft_update: float = 0.2
  update_period: int = 1
  target_dropout: bool = False
  learning_rate: float = 1e-3
  l2: float = 0.0
  clip_norm: float = 0.0
  stopping: str = 'td_error'
  max_passes: int = 20
  min_passes: int = 3
  min_improvement: float = 0.01
  in_finetune: str = 'frozen'


@dataclasses.dataclass(frozen=True)
class WeightingConfig:
  """The weights of stage 3 (paper, section 3.4).

  Attributes:
    name: `critic` (1 - lambda Q), `label_times_q` (WL), `negative_q` (NLC),
      `constant` (CW); of mean one over the batch, per task: `mean_one`
      (RMTL's weights by their mean), `advantage` (1 - lambda times Q centred
      and normalised), `uncertainty` (the critics' disagreement); a control:
      `q_shuffled`, `constant_mean`; or without weighted losses `ddpg` (D-PLE
      on ple: the actor ascends mean_k Q_k(s, pi_k(s))) or `td3_bc` (it
      descends the loss minus lambda / mean |Q| times that Q).
    lambda_: the paper's lambda. A negative one (critic, mean_one, advantage,
      uncertainty) trusts rows more whose future looks good, or on which
      critics agree; no weight is below 0 then.
    lambda_warmup_steps: steps over which lambda rises linearly from 0; 0
      means lambda from the first step.
    lambda_schedule: what lambda does after that, over the rest of
      finetune.max_epochs' steps: stay `constant`, or fall to 0 as a `cosine`
      or a `linear` function.
    meta_learning_rate: lambda is learnt: a step of Adam with this rate after
      every step of the actor, along the hypergradient of the loss of
      validation rows (contrib/learnt_lambda); 0 means lambda stays. Validation
      then chooses one more number, beside the epoch.
    max_weight: upper bound of a weight; 0 means none. It comes last: weights
      of mean one have a smaller mean where it cuts.
    form: the weights that `q_shuffled` shuffles over the rows.
  """

  name: str = 'critic'
  lambda_: float = 0.7
  lambda_warmup_steps: int = 0
  lambda_schedule: str = 'constant'
  meta_learning_rate: float = 0.0
  max_weight: float = 0.0
  form: str = 'critic'


@dataclasses.dataclass(frozen=True)
class StageConfig:
  """An actor stage: its optimizer and early stopping.

  Attributes:
    learning_rate: Adam's.
    schedule: what the learning rate does over max_epochs' steps: stay
      `constant`, or fall to 0 as a `cosine` or a `linear` function.
    warmup_steps: steps over which it first rises linearly from 0.
    l2: added to the gradient, as `Adam(weight_decay)` of torch does.
    embedding_l2: the same for the embedding tables; -1 means l2.
    label_smoothing: share s of a label that is given up for 1/2: the loss
      that is descended has y (1 - s) + s / 2 for y; what is logged has y.
    reset_embeddings: stage 1 only: every epoch after the first starts from
      new embedding tables (MEDA: Liu et al., arXiv:2305.19531), since it is
      they that overfit when rows are seen again.
    clip_norm: largest global gradient norm; 0 means no clipping.
    start: stage 3 only: from the `pretrained` parameters, or from `scratch`,
      those that stage 1 started from: then the pre-trained model, for whose
      policy the critics were trained, is no candidate of early stopping.
    max_epochs: most passes over the train rows.
    patience: epochs without a better mean validation AUC before stopping.
  """

  learning_rate: float = 1e-3
  schedule: str = 'constant'
  warmup_steps: int = 0
  l2: float = 1e-6
  embedding_l2: float = -1.0
  label_smoothing: float = 0.0
  reset_embeddings: bool = False
  clip_norm: float = 0.0
  start: str = 'pretrained'
  max_epochs: int = 20
  patience: int = 2


@dataclasses.dataclass(frozen=True)
class BatchConfig:
  """How sessions become batches.

  Attributes:
    lanes: lanes of a batch (L).
    lane_length: slots of a lane (T); longer sessions are cut, between times
      where they can be.
    block_sessions: sessions that stay neighbours in the first shuffle.
    window_blocks: blocks that are shuffled together in the second.
    steps_per_dispatch: most steps in one call of the compiled loop.
    readers: shares in which blocks are dealt out; a batch has as many lanes
      of each, so that as many processes can read their own.
    input: `resident` data is in memory and on the device, `streaming` reads a
      window at a time; `auto` streams what is larger than `resident_gib`. The
      batches are the same.
    resident_gib: of features and labels; 0 is a quarter of the device's
      memory.
  """

  lanes: int = 32
  lane_length: int = 64
  block_sessions: int = 256
  window_blocks: int = 256
  steps_per_dispatch: int = 32
  readers: int = 1
  input: str = 'auto'
  resident_gib: float = 0.0


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
  """What evaluation computes.

  Attributes:
    bootstrap: session-bootstrap replicates of an interval; 0 means none. Ends
      are rare draws, so fewer than a thousand make them noisy.
    confidence: coverage of the intervals.
    calibration_bins: equal-mass bins of the calibration error.
    calibration: what is fitted on validation, beside the raw model: `platt`
      (logit' = a logit + b), `isotonic` (any rising function) or `none`.
    group: rows of one group in GAUC: `session` or `user`.
  """

  bootstrap: int = 1000
  confidence: float = 0.95
  calibration_bins: int = 20
  calibration: str = 'platt'
  group: str = 'session'


@dataclasses.dataclass(frozen=True)
class FaultsConfig:
  """What training does where numbers break.

  Attributes:
    on_nonfinite: a loss or a gradient that is NaN or infinite: `stop` ends the
      run and names the rows that stand out, `skip` leaves out the step and
      counts it (metrics, warnings).
    checkpoint_minutes: between checkpoints inside of a long pass; there is one
      after every pass too.
  """

  on_nonfinite: str = 'stop'
  checkpoint_minutes: float = 10.0


@dataclasses.dataclass(frozen=True)
class CompareConfig:
  """What `rmtl compare` runs: methods x seeds on the same data.

  Attributes:
    methods: each BACKBONE[+WEIGHTING[@CRITIC_BACKBONE]][:SETTING=VALUE ...]: a
      backbone alone is its pre-trained model; @ takes the critics that were
      trained for another backbone; settings are of network, pretrain, critic,
      weighting or finetune, or ensemble. The controls of every method are
      added.
    seeds: of the paired runs; 16 for a claim.
    learning_rates: of stage 3, tried for every method and control alike; the
      best mean validation AUC over the tuning seeds decides.
    tuning_seeds: how many of the seeds tune the learning rate.
    population: seeds, or members of an ensemble, trained together in one
      program; 1 is one after the other, 0 chooses (one after the other on CPU,
      all together elsewhere).
  """

  methods: tuple[str, ...] = ('mmoe+critic',)
  seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
  learning_rates: tuple[float, ...] = (1e-3, 3e-4, 1e-4)
  tuning_seeds: int = 4
  population: int = 0


@dataclasses.dataclass(frozen=True)
class Config:
  """A run.

  Attributes:
    preset: what the other settings started from: `paper` or `official`.
    backbone: the actor (rmtl_jax/networks/backbones.py).
    seed: of parameters, shuffles, dropout and noise.
    ensemble: M members that differ in their seed and predict as one model,
      by the mean of their probabilities; they train together or one after the
      other, as compare.population says. Member 0 is the model of the seed.
    control: fine-tune a second actor with constant weights: same batches,
      keys, steps and learning rate.
    network: sizes.
    pretrain: stage 1.
    critic: stage 2.
    finetune: stage 3.
    weighting: the weights of stage 3.
    batch: how sessions become batches.
    evaluation: what evaluation computes.
    faults: what training does where numbers break.
    compare: what `rmtl compare` runs; the other commands ignore it, but for
      population.
  """

  preset: str = 'paper'
  backbone: str = 'mmoe'
  seed: int = 0
  ensemble: int = 1
  control: bool = True
  network: NetworkConfig = NetworkConfig()
  pretrain: StageConfig = StageConfig()
  critic: CriticConfig = CriticConfig()
  finetune: StageConfig = StageConfig()
  weighting: WeightingConfig = WeightingConfig()
  batch: BatchConfig = BatchConfig()
  evaluation: EvaluationConfig = EvaluationConfig()
  faults: FaultsConfig = FaultsConfig()
  compare: CompareConfig = CompareConfig()


def preset(name: str) -> Config:
  """The paper's settings, or those of the authors' released code.

  Raises:
    types.InputError: no such preset.
  """
  if name == 'paper':
    return Config()
  if name == 'official':
    return Config(
      preset='official',
      network=NetworkConfig(
        init='torch', expert_input='gate', aitm_transfer='linear'
      ),
      critic=CriticConfig(
        form='separate',
        head='neg_relu',
        discount=0.9,
        behaviour='uniform',
        estimate='minimum',
        target_noise=0.4,
        target_noise_draw='batch',
        update_period=2,
        target_dropout=True,
      ),
      weighting=WeightingConfig(lambda_=1.0),
    )
  raise types.InputError(f'preset: {name!r} is not one of {", ".join(PRESETS)}')
