"""The parameters of the simulator."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Parameters:
  """The world and its dynamics; `click_*` and `conversion_*` are logits.

  With the defaults about 8 % of rows are clicked and 1.5 % convert; the
  defaults are frozen by `simulated.parameters_digest`, as figures on simulated
  data can only be compared where they are the same.

  Attributes:
    rows_per_user: rows over users; the number of users follows from it.
    rows_per_item: rows over items; the number of items follows from it.
    days: span of the log.
    new_share: share of users, and of items, that appear during the log.
    length_median: median of the lognormal session length, in rows.
    length_sigma: standard deviation of the length's logarithm.
    length_max: longest session.
    gap_seconds: mean time between two rows of a session.
    num_categories: item categories.
    num_segments: user segments.
    taste_dim: width of the taste space.
    field_share: share of the variance of tastes and item vectors that the
      segment and the category explain.
    zipf: exponent of the items' popularity.
    browse_share: share of impressions that follow popularity, not interest.
    focus: how sharply the other impressions follow the interest.
    click_bias: logit of a click where everything else is zero.
    click_user: standard deviation of the users' own logits.
    click_item: standard deviation of the items' own logits.
    click_affinity: logit per unit of affinity of interest and item.
    click_price: logit lost per unit of log(price / budget).
    click_fatigue: logit lost per unit of fatigue.
    click_novelty: logit won by an item that has just appeared.
    click_evening: amplitude of the hour of day.
    conversion_bias: likewise, of a conversion given the click.
    conversion_user: likewise.
    conversion_item: likewise.
    conversion_affinity: likewise.
    conversion_price: likewise.
    conversion_mood: logit per unit of mood.
    intent_share: share of a session's first interest that is its intent (a
      category of its own) and not the user's taste.
    interest_pull: how far a click draws the interest to the clicked item.
    interest_return: how far each row draws the interest back to the taste.
    interest_noise: noise of the interest at each row.
    mood_scale: standard deviation of the mood, a logit that a session carries
      along.
    mood_memory: share of the mood that a row keeps; the rest is redrawn.
    fatigue_rise: mean rise of the fatigue at each row; the category just seen
      doubles it.
    fatigue_memory: share of the fatigue that a row keeps.
    fatigue_relief: share of the fatigue that a click takes away.
    budget_spread: of a session's log budget around the user's wealth.
  """

  rows_per_user: float = 50.0
  rows_per_item: float = 40.0
  days: float = 28.0
  new_share: float = 0.3
  length_median: float = 3.0
  length_sigma: float = 1.15
  length_max: int = 200
  gap_seconds: float = 25.0
  num_categories: int = 24
  num_segments: int = 12
  taste_dim: int = 4
  field_share: float = 0.85
  zipf: float = 1.0
  browse_share: float = 0.6
  focus: float = 1.0
  click_bias: float = -3.75
  click_user: float = 0.4
  click_item: float = 0.5
  click_affinity: float = 1.0
  click_price: float = 0.3
  click_fatigue: float = 0.6
  click_novelty: float = 0.8
  click_evening: float = 0.4
  conversion_bias: float = -2.6
  conversion_user: float = 0.4
  conversion_item: float = 0.4
  conversion_affinity: float = 0.3
  conversion_price: float = 0.45
  conversion_mood: float = 0.4
  intent_share: float = 0.25
  interest_pull: float = 0.25
  interest_return: float = 0.05
  interest_noise: float = 0.15
  mood_scale: float = 0.7
  mood_memory: float = 0.99
  fatigue_rise: float = 0.12
  fatigue_memory: float = 0.95
  fatigue_relief: float = 0.5
  budget_spread: float = 0.6
