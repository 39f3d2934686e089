"""Words of names of columns."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping

# Words of other languages for those that tables of names have in English, where
# these do not have them themselves. Left out is what is an English word too
# (`note`, `data`, `media`). Chinese, Japanese and Korean are written without
# spaces, so theirs are found within a name.
_GLUED = (
  {
    'account': '账号 帐号',
    'age': '年龄 年齡',
    'amount': '金额 金額',
    'avg': '平均',
    'birth': '出生 生日',
    'buy': '购买 購買 成交',
    'cart': '加购 购物车 購物車',
    'category': '类别 类目 分类 品类',
    'channel': '渠道',
    'click': '点击 點擊',
    'conversion': '转化 轉化',
    'count': '次数 次數 数量 數量 数 數',
    'date': '日期',
    'duration': '时长 時長',
    'favorite': '收藏',
    'id': '编号 編號',
    'is': '是否',
    'item': '商品 产品 產品 物品',
    'last': '最近 上次',
    'like': '点赞',
    'method': '方式 方法',
    'month': '月份 年月',
    'name': '名称 名稱',
    'no': '号 號',
    'order': '订单 訂單 下单 下單',
    'past': '历史 歷史 过去 累计',
    'pay': '支付 付款',
    'play': '播放',
    'price': '价格 價格 单价',
    'rate': '率',
    'rating': '评分 評分',
    'register': '注册 註冊',
    'session': '会话 會話',
    'share': '分享 转发',
    'status': '状态 狀態',
    'stay': '停留',
    'time': '时间 時間',
    'timestamp': '时间戳 時間戳',
    'type': '类型 類型',
    'update': '更新',
    'user': '用户 用戶 客户 客戶 顾客 顧客 会员 會員 使用者',
    'view': '浏览 瀏覽',
  },
  {
    'age': '年齢',
    'birth': '生年月日 誕生日',
    'buy': '購入 購買',
    'cart': 'カート',
    'category': 'カテゴリ カテゴリー',
    'click': 'クリック',
    'conversion': 'コンバージョン',
    'count': '回数 件数',
    'date': '日付',
    'favorite': 'お気に入り',
    'hour': '時間帯',
    'item': 'アイテム 製品',
    'last': '前回 直近',
    'no': '番号',
    'order': '注文',
    'past': '過去 累計',
    'play': '再生',
    'price': '価格',
    'rating': '評価',
    'register': '登録',
    'session': 'セッション',
    'stay': '滞在',
    'time': '時刻 日時',
    'timestamp': 'タイムスタンプ',
    'type': '種別',
    'user': 'ユーザ ユーザー 会員 利用者',
    'view': '閲覧',
  },
  {
    'age': '나이 연령',
    'amount': '금액',
    'avg': '평균',
    'birth': '생년월일 생일',
    'buy': '구매',
    'cart': '장바구니',
    'category': '카테고리',
    'channel': '채널',
    'click': '클릭',
    'conversion': '전환',
    'count': '횟수 건수 수량 수',
    'date': '날짜 일자',
    'flag': '여부',
    'id': '아이디',
    'item': '상품 제품 아이템',
    'last': '최근 마지막',
    'like': '좋아요',
    'method': '방법 수단',
    'month': '년월 연월',
    'no': '번호',
    'order': '주문',
    'past': '누적 과거',
    'play': '재생',
    'price': '가격',
    'rating': '평점 별점',
    'register': '가입 등록',
    'score': '점수',
    'session': '세션',
    'stay': '체류',
    'time': '시간 시각 일시',
    'timestamp': '타임스탬프',
    'update': '수정',
    'user': '사용자 유저 회원 고객 이용자',
    'view': '조회',
  },
)
_SPACED = (
  {  # Russian
    'age': 'возраст',
    'amount': 'сумма',
    'avg': 'средний средняя среднее',
    'birth': 'рождения',
    'buy': 'покупка покупки купил купила куплено',
    'cart': 'корзина',
    'category': 'категория категории',
    'click': 'клик кликнул',
    'conversion': 'конверсия',
    'count': 'количество число',
    'date': 'дата',
    'id': 'ид идентификатор',
    'item': 'товар товара продукт продукта',
    'last': 'последний последняя последнее последней последнего',
    'month': 'месяц',
    'number': 'номер',
    'order': 'заказ заказа',
    'past': 'история',
    'price': 'цена',
    'rating': 'оценка рейтинг',
    'register': 'регистрации',
    'session': 'сессия сессии сеанс сеанса',
    'time': 'время',
    'user': 'пользователь пользователя клиент клиента покупатель покупателя',
    'view': 'просмотр',
  },
  {  # German
    'avg': 'durchschnitt durchschnittlich',
    'buy': 'kauf gekauft',
    'buy date': 'kaufdatum',
    'cart': 'warenkorb',
    'churn': 'kündigung gekündigt kuendigung gekuendigt',
    'click': 'klick geklickt',
    'conversion': 'konversion konvertiert',
    'count': 'anzahl',
    'last': 'letzte letzter letztes',
    'month': 'monat',
    'order': 'bestellung bestellt',
    'order date': 'bestelldatum',
    'order number': 'bestellnummer',
    'rating': 'bewertung',
    'session': 'sitzung sitzungs',
    'time': 'zeit',
    'visitor': 'besucher',
  },
  {  # French
    'buy': 'achat acheté',
    'cart': 'panier',
    'category': 'catégorie',
    'churn': 'résilié résiliation',
    'click': 'clic cliqué',
    'conversion': 'converti',
    'id': 'identifiant',
    'last': 'dernier dernière',
    'order': 'commande commandé',
    'visitor': 'visiteur',
  },
  {  # Spanish
    'avg': 'promedio',
    'buy': 'compra comprado compró',
    'cart': 'carrito',
    'category': 'categoría',
    'count': 'cantidad',
    'last': 'último última',
    'month': 'mes',
    'order': 'pedido',
    'rating': 'valoración calificación puntuación',
    'session': 'sesión',
    'visitor': 'visitante',
  },
  {  # Portuguese
    'buy': 'comprou',
    'cart': 'carrinho',
    'click': 'clique clicou',
    'conversion': 'conversão',
    'count': 'quantidade',
    'month': 'mês',
    'price': 'preço',
    'rating': 'avaliação',
    'session': 'sessão',
  },
)
_ACCENTS = re.compile('[\u0300-\u036f]')


def _plain(text: str) -> str:
  """The letters without accents, and those of double width as others."""
  bare = _ACCENTS.sub('', unicodedata.normalize('NFKD', text))
  return unicodedata.normalize('NFC', bare)


def _english(tables: tuple[Mapping[str, str], ...]) -> dict[str, str]:
  return {
    _plain(word): meant
    for table in tables
    for meant, known in table.items()
    for word in known.split()
  }


_OF_PARTS, _OF_WORDS = _english(_GLUED), _english(_SPACED)
_PARTS = re.compile('|'.join(sorted(_OF_PARTS, key=len, reverse=True)))
_WORDS = re.compile(r'[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_a-zA-Z]+')


def listed(text: str) -> frozenset[str]:
  """The words of a text."""
  return frozenset(text.split())


def of(name: str) -> list[str]:
  """Lower-case words of a name, in English where another language's are known.

  >>> of('isClick_2'), of('visitorid')
  (['is', 'click', '2'], ['visitorid'])
  >>> of('用户ID'), of('id_клиента'), of('Sesión')
  (['user', 'id'], ['id', 'user'], ['session'])
  """
  if not name.isascii():
    name = _PARTS.sub(lambda found: f' {_OF_PARTS[found[0]]} ', _plain(name))
  parts: list[str] = [part.lower() for part in _WORDS.findall(name)]
  return [word for part in parts for word in _OF_WORDS.get(part, part).split()]


def without_digits(name: str) -> str:
  """The words of a name that are no numbers.

  >>> without_digits('PAY_AMT1') == without_digits('pay_amt_2')
  True
  """
  return ' '.join(word for word in of(name) if not word.isdigit())


def any_of(text: str) -> Callable[[str], bool]:
  """Tells whether a name has one of the words of a text.

  >>> is_promo = any_of('sale promo')
  >>> is_promo('on_sale'), is_promo('salesman')
  (True, False)
  """
  known = listed(text)
  return lambda name: not known.isdisjoint(of(name))


def ends_in(text: str) -> Callable[[str], bool]:
  """Tells whether the last word of a name is among those of a text.

  >>> is_day = ends_in('day date')
  >>> is_day('Order Date'), is_day('date_of_birth')
  (True, False)
  """
  known = listed(text)
  return lambda name: not known.isdisjoint(of(name)[-1:])


def is_one_of(text: str) -> Callable[[str], bool]:
  """Tells whether all of a name, its words joined, is a word of a text.

  >>> is_number = is_one_of('idno nr')
  >>> is_number('id_no'), is_number('house_nr')
  (True, False)
  """
  known = listed(text)
  return lambda name: ''.join(of(name)) in known
