from __future__ import annotations

import math

import pytest

from tests.preparation import raw_files

LOG_HEADER = (
  'user_id,video_id,date,hourmin,time_ms,is_click,is_like,is_follow,is_comment,'
  'is_forward,is_hate,long_view,play_time_ms,duration_ms,profile_stay_time,'
  'comment_stay_time,is_profile_enter,is_rand,tab'
)
USER_HEADER = (
  'user_id,user_active_degree,is_lowactive_period,is_live_streamer,'
  'is_video_author,follow_user_num,follow_user_num_range,fans_user_num,'
  'fans_user_num_range,friend_user_num,friend_user_num_range,register_days,'
  'register_days_range,' + ','.join(f'onehot_feat{i}' for i in range(18))
)
VIDEO_HEADER = (
  'video_id,author_id,video_type,upload_dt,upload_type,visible_status,'
  'video_duration,server_width,server_height,music_id,music_type,tag'
)
# 2022-04-11 00:00 in Shanghai, a Monday.
START = 1_649_606_400_000
HOUR = 3_600_000


def row(hours, user=1, video=5, click=0, long_view=0, **changes):
  """One raw log line, so many hours after START."""
  values = dict.fromkeys(LOG_HEADER.split(','), '0')
  values |= {
    'user_id': user,
    'video_id': video,
    # Both run ahead of time_ms, as they can in the real log.
    'date': 20220413,
    'hourmin': 2300,
    'time_ms': START + int(hours * HOUR),
    'is_click': click,
    'long_view': long_view,
    'duration_ms': 10_000,
    'tab': 1,
  }
  return ','.join(str(value) for value in (values | changes).values())


def user(number, degree='full_active', fans='"[10,100)"', missing='1.0'):
  features = ','.join(['2'] * 4 + [missing] + ['0'] * 13)
  return (
    f'{number},{degree},0,-124,1,514,500+,20,{fans},34,"[30,60)",799,730+,'
    f'{features}'
  )


def video(number, tag='39', duration='8000.0', uploaded='2022-04-10'):
  return (
    f'{number},73,NORMAL,{uploaded},Web,0.0,{duration},720.0,1280.0,915,9.0,'
    f'{tag}'
  )


def write(tmp_path, rows, variant='pure', users=(), videos=()):
  raw_dir = tmp_path / 'raw'
  raw_files.write(
    raw_dir / f'log_standard_4_08_to_4_21_{variant}.csv', [LOG_HEADER, *rows]
  )
  if users:
    raw_files.write(
      raw_dir / f'user_features_{variant}.csv', [USER_HEADER, *users]
    )
  if videos:
    raw_files.write(
      raw_dir / f'video_features_basic_{variant}.csv', [VIDEO_HEADER, *videos]
    )
  return raw_dir


def filler(count=20):
  """One session a row, from hour 100 on."""
  return [row(100 + i, user=50 + i, video=i % 3) for i in range(count)]


def prepare(tmp_path, rows, **files):
  raw_dir = write(tmp_path, [*rows, *filler()], **files)
  return raw_files.run(tmp_path, 'kuairand', raw_dir)


def first(tmp_path, count):
  return raw_files.read(tmp_path, 'train')[:count]


def test_labels_and_order(tmp_path):
  manifest = prepare(
    tmp_path,
    [
      row(0.2, click=1, long_view=1),
      row(0.1, click=1),
      row(0.1, long_view=1),  # a long view without a click is none
      row(0.3),
    ],
  )
  rows = first(tmp_path, 4)
  assert [row['row_id'] for row in rows] == [1, 2, 0, 3]
  assert [row['step'] for row in rows] == [0, 1, 2, 3]
  assert [row['y_click'] for row in rows] == [1, 0, 1, 0]
  assert [row['y_conversion'] for row in rows] == [0, 0, 1, 0]
  assert [row['user_id'] for row in rows] == [1] * 4
  assert (manifest.user_field, manifest.item_field) == ('user_id', 'video_id')


def test_users_are_joined(tmp_path):
  manifest = prepare(
    tmp_path,
    [row(0, user=1), row(1, user=2), row(2, user=3)],
    users=[user(1), user(2, fans='"[1k,5k)"', missing=''), user(1, 'twice')],
  )
  values = {
    name: raw_files.decoded(tmp_path, name)[:3]
    for name in ('fans_user_num_range', 'is_live_streamer', 'onehot_feat4')
  }
  assert values == {
    'fans_user_num_range': ['[10,100)', '[1k,5k)', None],
    'is_live_streamer': ['-124', '-124', None],
    'onehot_feat4': ['1.0', None, None],
  }
  assert raw_files.decoded(tmp_path, 'user_active_degree')[0] == 'full_active'
  rows = first(tmp_path, 3)
  # Constant where known: deviation 1, so 0 for all; NaN where missing.
  assert [row['x_fans_user_num'] for row in rows] == pytest.approx(
    [0, 0, math.nan], nan_ok=True
  )
  names = [f.name for f in manifest.fields]
  assert len([name for name in names if name.startswith('onehot_feat')]) == 18
  assert sum(split.rows for split in manifest.splits.values()) == 23


def test_videos_are_joined(tmp_path):
  manifest = prepare(
    tmp_path,
    [row(0, video=5), row(24, video=6, user=2), row(48, video=7, user=3)],
    videos=[
      video(5, '"39, 43,"', uploaded='2022-04-11'),
      video(6, '', '', '2022-04-10'),
      video(99),  # of no row
    ],
  )
  rows = first(tmp_path, 3)
  tags = raw_files.vocabulary(tmp_path, 'tag')
  assert [[tags[i] for i in row['m_tag']] for row in rows] == [
    ['39', '43'],
    [None],
    [None],
  ]
  fields = {f.name: f for f in manifest.fields}
  assert (fields['tag'].size, fields['tag'].width) == (3, 2)
  assert raw_files.decoded(tmp_path, 'author_id')[:3] == ['73', '73', None]
  # log(1 + age) with ages of 0 and 2 days: mean log(3) / 2, missing is NaN.
  assert fields['video_age'].details['mean'] == pytest.approx(0.5493061443)
  assert [row['x_video_age'] for row in rows] == pytest.approx(
    [-1, 1, math.nan], nan_ok=True
  )
  assert '99' not in raw_files.vocabulary(tmp_path, 'video_id')
