"""Labels of two values that are not 0 and 1, and those that a person names."""

import json

import pytest

import rmtl_jax
from rmtl_jax import types
from rmtl_jax.preparation.guess import guess, two_valued
from rmtl_jax.preparation.guess import keys as keys_lib
from tests.preparation.guess import logs

N = 600


def _log(tmp_path, **columns):
  columns = {'x': [i % 7 for i in range(N)], **columns}
  return logs.write(tmp_path / 'log.csv', columns)


def _every(step, one='1', zero='0'):
  return [one if i % step == 0 else zero for i in range(N)]


@pytest.mark.parametrize(
  ('name', 'values', 'more'),
  [
    ('chosen', _every(3), {}),
    ('default', _every(3), {}),
    (
      'call',
      _every(3, 'yes', 'no'),
      {'positive': ['yes'], 'negative': ['no']},
    ),
    (
      'Class',
      _every(3, 'bad', 'good'),
      {'positive': ['bad'], 'negative': ['good']},
    ),
    ('class', _every(3, '2', '1'), {'positive': ['2'], 'negative': ['1']}),
  ],
)
def test_names_of_answers_in_the_midst(tmp_path, name, values, more):
  found = guess.guess(_log(tmp_path, **{name: values}, z=[*range(5)] * 120))
  (task,) = found.schema['tasks']
  assert task == {'name': name, 'column': name, **more}


@pytest.mark.parametrize(
  ('one', 'zero'), [('bad', 'good'), ('no', 'yes'), ('2', '1')]
)
def test_two_values_in_the_last_column_are_a_label(tmp_path, one, zero):
  log = _log(
    tmp_path, state=_every(3, one, zero), outdoors=_every(4, one, zero)
  )
  found = guess.guess(log)
  (task,) = found.schema['tasks']
  # Yes and no say which is positive; of others it is the rarer one.
  positive = 'yes' if zero == 'yes' else one
  assert (task['column'], task['positive']) == ('outdoors', [positive])
  schema = tmp_path / 'schema.json'
  schema.write_text(json.dumps(found.schema))
  manifest = rmtl_jax.prepare(
    rmtl_jax.PrepareConfig(
      source='table',
      raw_dir=str(log),
      schema=str(schema),
      data_dir=str(tmp_path / 'data'),
    )
  )
  assert manifest.task_names == ('outdoors',)


@pytest.mark.parametrize('name', ['placement', 'subscriber', 'party', 'policy'])
def test_a_last_column_is_a_label_whatever_few_numbers_mean(tmp_path, name):
  found = guess.guess(_log(tmp_path, **{name: _every(3)}))
  assert [task['name'] for task in found.schema['tasks']] == [name]


def test_surer_names_leave_words_of_other_columns_alone(tmp_path):
  log = _log(tmp_path, choice=_every(2, 'a', 'b'), click=_every(3))
  found = guess.guess(log)
  assert [task['name'] for task in found.schema['tasks']] == ['click']
  assert found.schema['categorical'] == ['choice']


def test_kinds_of_events_in_the_last_column_are_no_label(tmp_path):
  found = guess.guess(_log(tmp_path, event=_every(3, 'buy', 'view')))
  assert 'a log of events' in found.problem


def test_columns_that_may_be_labels_are_named(tmp_path):
  log = _log(tmp_path, a=_every(2), b=_every(3, 'u', 'v'), z=[*range(5)] * 120)
  with pytest.raises(types.InputError) as error:
    rmtl_jax.guess_schema(log)
  assert str(error.value).endswith(
    '--label=COLUMN says which is; with two values: b, a'
  )


def test_columns_of_several_texts_that_may_hold_answers_are_named(tmp_path):
  columns = {
    'action_type': ['scroll', 'zoom', 'pan', 'scroll'] * 100,
    'signup_method': ['mail', 'google', 'phone', 'mail'] * 100,
    'readmitted': ['NO', '<30', '>30', 'NO'] * 100,
  }
  problem = guess.guess(logs.write(tmp_path / 'log.csv', columns)).problem
  assert problem.endswith(
    '; action_type may say what happened, which "events" in a schema declares'
    '; readmitted holds 3 texts: as 0 and 1, or by "positive" in a task, it is'
    ' a label'
  )


def test_labels_that_a_person_names_are_all(tmp_path):
  log = _log(
    tmp_path,
    user_id=_every(3, 'u', 'v'),
    time=[1_700_000_000 + i % 50 for i in range(N)],
    click=_every(2),
    z=[*range(5)] * 120,
  )
  found = rmtl_jax.guess_schema(log, labels=('user_id', 'time'))
  assert found.schema['tasks'] == [
    {
      'name': 'user_id',
      'column': 'user_id',
      'positive': ['u'],
      'negative': ['v'],
    },
    {'name': 'time', 'column': 'time', 'kind': 'regression'},
  ]
  assert not {'user', 'time'} & found.schema.keys()
  why = {one.name: (one.role, one.why) for one in found.columns}
  assert why['click'] == (
    'left out',
    'named like a label that --label does not name',
  )


@pytest.mark.parametrize(
  ('name', 'said'),
  [
    ('clik', "no column 'clik' (did you mean click?)"),
    ('word', "'word' holds 3 different values of kind text; expected two"),
    ('one', "'one' holds 1 different value of kind number"),
  ],
)
def test_what_can_be_no_label_is_refused(tmp_path, name, said):
  log = _log(tmp_path, click=_every(2), word=[*'abc'] * 200, one=[1] * N)
  with pytest.raises(types.InputError, match=r'^--label: ') as error:
    guess.guess(log, labels=(name,))
  assert said in str(error.value)


def test_a_column_named_half_like_a_label_is_left_out(tmp_path):
  math = _every(5)
  math[3] = ''
  log = _log(tmp_path, good_read=_every(3), good_math=math, prev_read=math)
  found = guess.guess(log)
  roles = {one.name: one.role for one in found.columns}
  assert roles['good_math'] == 'left out'
  assert roles['prev_read'] == 'category'
  why = found.columns[2].why
  assert '--label=good_read --label=good_math makes both tasks' in why


def test_what_describes_a_user_is_no_further_answer(tmp_path):
  users = [i // 4 for i in range(N)]
  _, facts = logs.sample_of(
    tmp_path,
    {
      'user': users,
      'good_read': _every(3),
      'good_home': [user % 2 for user in users],
    },
  )
  keys = {'user': keys_lib.Key('user', '')}
  assert [*two_valued.related(facts, ['good_read'], {})] == ['good_home']
  assert not two_valued.related(facts, ['good_read'], keys)
