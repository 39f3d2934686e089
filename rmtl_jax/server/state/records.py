"""What a state consists of."""

from __future__ import annotations

from typing import NamedTuple

from rmtl_jax.server.state import labels as labels_lib


class Event(NamedTuple):
  """A row that was shown.

  Attributes:
    id: in the order in which rows came.
    visit: the id of its visit.
    user: who saw it, or None.
    item: what was shown, or None.
    time: ms.
    labels: what came of it.
  """

  id: int
  visit: int
  user: str | None
  item: str | None
  time: int
  labels: labels_lib.Labels


class Visit(NamedTuple):
  """Rows of one session, or of a user without one, without a long rest.

  Attributes:
    id: any.
    owner: the session's id, or the user.
    first: time of its first row, ms.
    last: time of its last row that counts.
    reach: time of its last row; later than `last` where rows came after the end
      of the split that it began in.
    open: whether its rows are not in the counters of rates yet.
  """

  id: int
  owner: str
  first: int
  last: int
  reach: int
  open: bool
