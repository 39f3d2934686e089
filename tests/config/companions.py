"""Settings without which another one is refused."""

from rmtl_jax.balancing import balancer_registry


def of(name):
  """{setting: value} that the setting `name` needs beside it."""
  group, _, field = name.rpartition('.')
  if not group.endswith('balancing') or field == 'name':
    return {}
  knows = (
    one.name
    for one in balancer_registry.RECORDS.values()
    if field in one.settings
  )
  return {f'{group}.name': next(knows)}
