"""The paper's settings, some of them changed."""

import dataclasses
import functools

from rmtl_jax import config as config_lib

PAPER = config_lib.preset('paper')
config = functools.partial(dataclasses.replace, PAPER)
network = functools.partial(dataclasses.replace, PAPER.network)
pretrain = functools.partial(dataclasses.replace, PAPER.pretrain)
critic = functools.partial(dataclasses.replace, PAPER.critic)
finetune = functools.partial(dataclasses.replace, PAPER.finetune)
batch = functools.partial(dataclasses.replace, PAPER.batch)
evaluation = functools.partial(dataclasses.replace, PAPER.evaluation)
