"""What single words of a name say."""

import pytest

from rmtl_jax.preparation.guess import (
  key_names,
  label_names,
  number_names,
  time_names,
)


@pytest.mark.parametrize(
  'says, names, others',
  [
    (label_names.is_condition, 'has_app in_stock', 'reached'),
    (label_names.is_known_before, 'prior_visit', 'user_clicked'),
    (label_names.is_payment, 'PAY_AMT1', 'target_1'),
    (label_names.is_usual, 'daily_time_spent', 'time_spent'),
    (label_names.may_be_state, 'Loan_Status', 'status_code'),
    (label_names.may_be_step, 'visit', 'first_visit'),
    (time_names.comes_of_order, 'shipDate arrival_time', 'order_date'),
    (time_names.is_day, 'orderDate DAY', 'event_time'),
    (time_names.is_later, 'updated_at due_date', 'order_date'),
    (time_names.is_once, 'subscribed_at', 'clicked_at'),
    (time_names.is_time_of_key, 'birth_date', 'zeitpunkt'),
    (time_names.is_year, 'Year model_year', 'years'),
    (time_names.may_be_length, 'response_time', 'event_time'),
    (key_names.ends_in_id, 'user_pseudo_id', 'user'),
    (key_names.is_bare_id, 'ID nr', 'shop_id'),
    (number_names.is_counted, 'episode', 'episode_id'),
    (number_names.is_number_of_mails, 'Email', 'email_id'),
  ],
)
def test_words_say_it_of_some_names_alone(says, names, others):
  assert all(map(says, names.split()))
  assert not any(map(says, others.split()))
