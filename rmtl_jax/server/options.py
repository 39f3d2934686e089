"""Settings of a server from its command line."""

from __future__ import annotations

import dataclasses

# In the environment: where the processes of a server keep their counts, as
# Prometheus's library calls it.
SHARED_METRICS = 'PROMETHEUS_MULTIPROC_DIR'


@dataclasses.dataclass(frozen=True)
class Settings:
  """Settings of a server; every worker gets the same.

  Attributes:
    workdir: RUN or an exported model; a link to either may be moved to a newer
      one.
    stage: of a run, whose parameters; '' for the best that there is.
    state: directory of the state; '' for none.
    settle_days: after which only sums are kept of rows.
    history: raw rows that an empty state starts from; '' for none.
    token: what requests must carry; '' for nothing.
    max_rows: most rows of a request.
    workers: processes.
  """

  workdir: str
  stage: str = ''
  state: str = ''
  settle_days: float = 7.0
  history: str = ''
  token: str = dataclasses.field(default='', repr=False)
  max_rows: int = 512
  workers: int = 1
