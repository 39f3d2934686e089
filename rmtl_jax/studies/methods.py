"""The methods of a comparison: `backbone[/balancer][+weighting]...`."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, NamedTuple

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.weighting import weighting_registry

# Settings without an effect on constant weights.
_NOT_OF_CONSTANTS = ('critic.in_finetune',)
# Prefixes of settings that change the model of stage 1.
STAGE_1 = ('network.', 'pretrain.', 'batch.', 'ensemble', 'delayed')
# Groups whose settings a method may change.
_GROUPS = (
  *('network', 'pretrain', 'critic', 'weighting', 'finetune'),
  *('batch', 'ensemble', 'delayed'),
)
# How the data that all methods share are read; not what is in a batch.
_OF_READING = ('batch.steps_per_dispatch', 'batch.input')

Settings = tuple[tuple[str, Any], ...]
# After the slash: the balancer of stage 1.
_BALANCER = 'pretrain.balancing.name'


@dataclasses.dataclass(frozen=True)
class Method:
  """A method: a backbone, a weighting of stage 3, and settings.

  Attributes:
    backbone: of the actor.
    weighting: of stage 3; '': the pre-trained model.
    critic_backbone: the backbone of the critics; '': the actor's.
    settings: ('group.field', value) pairs over the config.
  """

  backbone: str
  weighting: str = ''
  critic_backbone: str = ''
  settings: Settings = ()

  @property
  def name(self) -> str:
    """The text that parses to this method."""
    name, settings = self.backbone, dict(self.settings)
    if _BALANCER in settings:
      name += f'/{settings.pop(_BALANCER)}'
    if self.weighting:
      name += f'+{self.weighting}'
    if self.critic_backbone not in ('', self.backbone):
      name += f'@{self.critic_backbone}'
    return name + ''.join(
      f':{k}={config_values.setting_text(v)}' for k, v in settings.items()
    )

  @property
  def has_verdict(self) -> bool:
    """Whether it has controls, and so a verdict."""
    if not self.weighting:
      return bool(self.settings)
    return not weighting_registry.find(self.weighting).control

  @property
  def needs_critics(self) -> bool:
    """Whether its stage 3 needs the critics of stage 2."""
    return bool(self.weighting) and weighting_registry.needs_critics(
      self.weighting
    )

  @property
  def pretrained(self) -> Method:
    """The pre-trained model that it starts from; itself without weighting."""
    return Method(self.backbone, settings=_only(self.settings, STAGE_1))

  @property
  def critics(self) -> Method:
    """Its critics, as a method without weighting; equal if they are shared."""
    settings = _only(self.settings, (*STAGE_1, 'critic.'))
    return Method(
      self.critic_backbone or self.backbone,
      settings=tuple(s for s in settings if s[0] != 'critic.in_finetune'),
    )

  def config(self, base: config_lib.Config) -> config_lib.Config:
    """The settings of its runs, except seed and learning rate.

    `weighting.form` comes from the method's name, not from `base`.

    Raises:
      types.InputError: settings out of range, or an ensemble with a weighting.
    """
    settings = {
      'backbone': self.backbone,
      'weighting.form': config_lib.WeightingConfig().form,
      **dict(self.settings),
    }
    if self.weighting:
      settings['weighting.name'] = self.weighting
    label = f'method {self.name}'
    config = config_values.with_settings(base, settings, label)
    if self.weighting and config.ensemble > 1:
      raise types.InputError(
        f'{label}: ensemble={config.ensemble} with a weighting: ensembles are'
        ' compared as pre-trained models'
      )
    return config

  def controls(self) -> tuple[Method, ...]:
    """The methods that it must beat, in the order of the tables.

    A weighted method has its pre-trained model and the controls of
    weighting/weighting_registry.py, which all start from that model. A
    pre-trained model with settings has the backbone without them.
    """
    if not self.has_verdict:
      return ()
    if not self.weighting:
      return (Method(self.backbone),)
    finetune = _only(self.settings, (*STAGE_1, 'finetune.'))
    shuffled = dict(self.settings)
    if weighting_registry.find(self.weighting).own_shuffle:
      shuffled['weighting.form'] = self.weighting
    # Settings that can't change constant weights are left out, so that methods
    # which differ in them share a control instead of training it twice.
    constants = (s for s in self.settings if s[0] not in _NOT_OF_CONSTANTS)
    settings = {
      weighting_registry.NEVER: finetune,
      weighting_registry.START: tuple(constants),
      weighting_registry.STEP: tuple(sorted(shuffled.items())),
    }
    return (
      self.pretrained,
      *(
        Method(
          self.backbone,
          control.name,
          self.critic_backbone if control.needs_critics else '',
          settings[control.asks],
        )
        for control in map(weighting_registry.find, weighting_registry.CONTROLS)
      ),
    )


class Job(NamedTuple):
  """One training: a method with one seed, or its critics.

  Attributes:
    method: what is trained.
    seed: of all randomness.
    learning_rate: of stage 3; None for a pre-trained model and for critics.
  """

  method: Method
  seed: int
  learning_rate: float | None = None

  def __str__(self) -> str:
    rate = '' if self.learning_rate is None else f' at {self.learning_rate:g}'
    return f'{self.method.name}{rate}, seed {self.seed}'

  @property
  def pretrained(self) -> Job:
    """The pre-trained model that it starts from."""
    return Job(self.method.pretrained, self.seed)

  @property
  def critics(self) -> Job:
    """Its critics."""
    return Job(self.method.critics, self.seed)

  def config(self, base: config_lib.Config) -> config_lib.Config:
    """The settings of its runs."""
    config = dataclasses.replace(self.method.config(base), seed=self.seed)
    if self.learning_rate is None:
      return config
    rate = self.learning_rate
    finetune = dataclasses.replace(config.finetune, learning_rate=rate)
    return dataclasses.replace(config, finetune=finetune)


def expand(config: config_lib.Config) -> list[Method]:
  """Parses the config's methods and adds their controls.

  Returns:
    Every method once: backbones in the order of the config, and within a
    backbone the pre-trained model, then controls, then the others.

  Raises:
    types.InputError: names the method and the part that is wrong.
  """
  parsed = [parse(text, config) for text in config.compare.methods]
  methods: dict[str, Method] = {}
  for method in parsed:
    for each in (method.pretrained, method, *method.controls()):
      methods.setdefault(each.name, each)
      # A pre-trained model with settings of its own has a control too.
      for control in each.controls():
        methods.setdefault(control.name, control)
  backbones = list(dict.fromkeys(method.backbone for method in parsed))

  def place(method: Method) -> tuple[int, bool, bool]:
    return (
      backbones.index(method.backbone),
      bool(method.weighting),
      method.has_verdict,
    )

  return sorted(methods.values(), key=place)


def controls(config: config_lib.Config) -> dict[str, list[str]]:
  """The controls of every method of `expand`, by name.

  Beside those of `Method.controls`, of the backbones that stand alone in the
  config the first is the control of the others.
  """
  found = {
    method.name: [control.name for control in method.controls()]
    for method in expand(config)
  }
  parsed = [parse(text, config) for text in config.compare.methods]
  alone = list(
    dict.fromkeys(one.name for one in parsed if one == Method(one.backbone))
  )
  return found | {name: alone[:1] for name in alone[1:]}


def parse(text: str, base: config_lib.Config) -> Method:
  """Parses one method.

  Args:
    text: `backbone[/balancer][+weighting[@critic_backbone]][:group.field=value
      ...]`; the balancer is that of stage 1.

  Raises:
    types.InputError: names the method and the part that is wrong.
  """
  label = f'method {text!r:.80}'
  head, *parts = text.strip().split(':')
  match = re.fullmatch(r'(\w+)(?:/(\w+))?(?:\+(\w+)(?:@(\w+))?)?', head)
  if head.isdigit():
    raise types.InputError(
      f'{label}: is a number; a list in a setting has hyphens, as'
      ' commas part methods: network.bottom_units=256-128'
    )
  if not match:
    raise types.InputError(
      f'{label}: expected BACKBONE[/BALANCER][+WEIGHTING'
      '[@CRITIC_BACKBONE]][:SETTING=VALUE ...]'
    )
  backbone, balancer, weighting, critic_backbone = match.groups('')
  for what, name, of in (
    ('backbone', backbone, 'backbone'),
    ('backbone', critic_backbone, 'backbone'),
    ('weighting', weighting, 'weighting.name'),
    ('balancer', balancer, _BALANCER),
  ):
    known = config_values.choices(of)
    if name and name not in known:
      raise types.InputError(
        f'{label}: {what} {name!r} is not one of {", ".join(known)}'
      )
  asks = weighting and weighting_registry.needs_critics(weighting)
  if critic_backbone == backbone or not asks:
    critic_backbone = ''
  pairs = dict(setting(label, part, base) for part in parts)
  if balancer:
    pairs[_BALANCER] = balancer
  if pairs.get(_BALANCER) == config_values.flatten(base)[_BALANCER]:
    del pairs[_BALANCER]  # a method has one name only
  if 'finetune.learning_rate' in pairs:
    raise types.InputError(
      f'{label}: finetune.learning_rate is tuned for every method alike'
      ' (config.compare.learning_rates)'
    )
  later = [name for name in pairs if not name.startswith(STAGE_1)]
  if later and not weighting:
    raise types.InputError(
      f'{label}: {later[0]} needs a weighting: it makes no'
      ' difference to a pre-trained model'
    )
  if pairs.get('weighting.form') == config_lib.WeightingConfig().form:
    del pairs['weighting.form']  # the default: a method has one name only
  method = Method(
    backbone, weighting, critic_backbone, tuple(sorted(pairs.items()))
  )
  method.config(base)
  return method


def setting(label: str, text: str, base: config_lib.Config) -> tuple[str, Any]:
  """Parses one setting that a method may change: (name, value of its type).

  Raises:
    types.InputError: no such setting, or a value of another type.
  """
  name = text.partition('=')[0]
  if name in _OF_READING:
    raise types.InputError(
      f'{label}: {name} sets how the data are read, which is the same for'
      f' all: --config.{name}'
    )
  known = {
    k: v
    for k, v in config_values.flatten(base).items()
    if k.split('.')[0] in _GROUPS
    and k not in ('weighting.name', *_OF_READING)  # the name is the method's
  }
  return config_values.parse_setting(label, text, known)


def _only(settings: Settings, prefixes: tuple[str, ...]) -> Settings:
  return tuple(s for s in settings if s[0].startswith(prefixes))
