from benchmarks import recommended


def test_a_line_stands_beside_lightgbm_of_the_same_data():
  figure = {
    'data': 'mine',
    'task': 'click',
    'rates': {'auc': 0.6, 'logloss': 0.4},
    'auc': {'mean': 0.75},
    'logloss': {'mean': 0.3},
    'seconds': {'mean': 41.6},
  }
  other = {'auc': {'mean': 0.7512}, 'logloss': {'mean': 0.29}}
  assert recommended.row(figure, {('mine', 'click'): other}) == {
    'data': 'mine',
    'task': 'click',
    'rates auc': '0.6000',
    'LightGBM auc': '0.7512',
    'auc': '0.7500',
    'rates logloss': '0.4000',
    'LightGBM logloss': '0.2900',
    'logloss': '0.3000',
    'AUC gain': '-0.0012',
    'seconds': '42',
  }
  alone = recommended.row(
    {**figure, 'rates': None}, {('other', 'click'): other}
  )
  assert alone['LightGBM auc'] == alone['rates auc'] == '-'
  assert set(alone) == set(recommended.row(figure, {('mine', 'click'): other}))
  assert alone['AUC gain'] == '-'
