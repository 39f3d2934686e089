from __future__ import annotations

from tests.preparation import raw_files

HEADER = (
  'user_id,item_id,click,follow,like,share,video_category,watching_times,'
  'gender,age'
)
HISTORY = ',' + ','.join(f'hist_{i}' for i in range(1, 11))


def video(user=1, item=5, click=0, follow=0, like=0, share=0, category='2'):
  return f'{user},{item},{click},{follow},{like},{share},{category},3,1,4'


def write(tmp_path, lines, header=HEADER, name='QB-video.csv'):
  raw_files.write(tmp_path / 'raw' / name, [header, *lines])
  return tmp_path / 'raw'


def read(raw_dir):
  return raw_files.read_source('tenrec', raw_dir)


def test_four_tasks_and_missing_categories(tmp_path):
  lines = [video(click=1, share=1), video(2, like=1, follow=1, category='\\N')]
  table, rows = read(write(tmp_path, lines))
  assert [task.name for task in table.tasks] == [
    'click',
    'like',
    'share',
    'follow',
  ]
  assert [row['y_like'] for row in rows] == [0, 1]
  assert [row['y_share'] for row in rows] == [1, 0]
  assert [row['f_video_category'] for row in rows] == ['2', None]
  assert [row['user'] for row in rows] == [1, 2]
  names = [field.name for field in table.fields]
  assert names == ['user_id', 'item_id', 'video_category', 'gender', 'age']


def test_the_ten_past_videos_are_one_list(tmp_path):
  lines = [video() + ',7,8' + ',0' * 8, video() + ',0' * 10]
  raw_dir = write(tmp_path, lines, HEADER + HISTORY, 'ctr_data_1M.csv')
  _, rows = read(raw_dir)
  assert [row['m_hist'] for row in rows] == [['7', '8'], []]
