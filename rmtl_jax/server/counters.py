"""Metrics of a server for Prometheus."""

from __future__ import annotations

import functools
import os

import prometheus_client as prometheus
from prometheus_client import multiprocess

from rmtl_jax.server import options as options_lib

CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
  """Counters of one process."""

  def __init__(self):
    self._registry = prometheus.CollectorRegistry()
    counter = functools.partial(prometheus.Counter, registry=self._registry)
    self.requests = counter('rmtl_requests', 'Requests.', ('path', 'status'))
    self.seconds = prometheus.Histogram(
      'rmtl_request_seconds',
      'From the head of a request to its response.',
      ('path',),
      buckets=_SECONDS,
      registry=self._registry,
    )
    self.rows = counter(
      'rmtl_rows', 'Rows of requests that were answered.', ('path',)
    )
    self.values = counter(
      'rmtl_values', 'Values of fields with a vocabulary.', ('field',)
    )
    self.unseen = counter(
      'rmtl_unseen_values',
      "Values that the model's vocabulary lacks.",
      ('field',),
    )

  def text(self) -> bytes:
    """All of them, of all processes."""
    if os.environ.get(options_lib.SHARED_METRICS):
      shared = prometheus.CollectorRegistry()
      multiprocess.MultiProcessCollector(shared)
      return prometheus.generate_latest(shared)
    return prometheus.generate_latest(self._registry)
