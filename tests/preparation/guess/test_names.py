"""What single words of a name say."""

import pytest

from rmtl_jax.preparation.guess import (
  key_names,
  label_names,
  number_names,
  time_names,
  words,
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


@pytest.mark.parametrize(
  'names',
  [
    '用户id, 商品, 会话编号, 下单时间, 是否点击, 购买, 评分',
    'ユーザーＩＤ, 製品, セッション, 日時, クリック, 購入, 評価',
    '사용자, 상품번호, 세션, 날짜, 클릭여부, 구매, 평점',
    'ID клиента, товар, сессия, дата, клик, покупка, оценка',
    'Benutzer, Artikel, Sitzungs-ID, Zeit, geklickt, Kauf, Bewertung',
    'utilisateur, produit, session, horodatage, cliqué, achat, stars',
    'usuario, producto, sesión, fecha, clic, compra, valoración',
    'usuário, produto, id_sessão, fecha, clicou, comprou, avaliação',
  ],
)
def test_names_may_be_of_other_languages(names):
  user, item, session, time, click, buy, rating = names.split(', ')
  keys = {'user': user, 'item': item, 'session': session}
  for role, name in keys.items():
    assert key_names.rank(name, role) is not None
  assert time_names.is_time(time) and label_names.is_outcome(rating)
  assert label_names.is_label(click) and label_names.is_label(buy)


@pytest.mark.parametrize(
  'name, parts',
  [
    ('点击率', 'click rate'),
    ('支付方式', 'pay method'),
    ('주문채널', 'order channel'),
    ('用户注册时间', 'user register time'),
    ('구매수', 'buy count'),
    ('дата рождения', 'date birth'),
    ('größe_cm', 'gro ß e cm'),
    ('会员等级', 'user 等级'),
    ('achats', 'achats'),
    ('Kosten pro Monat', 'kosten pro month'),
    ('出生年月', 'birth month'),
    ('生年月日', 'birth'),
  ],
)
def test_words_of_other_languages_are_put_in_english(name, parts):
  assert words.of(name) == parts.split()
