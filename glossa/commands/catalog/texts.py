"""Texts by which a model is tried: one sentence in many scripts, and what tokenizers often get wrong.

The sentences are from Article 1 of the Universal Declaration of Human Rights, whose translations are free to use
(United Nations, OHCHR). Must not know models.
"""

from __future__ import annotations

TEXTS = (
    "All human beings are born free and equal in dignity and rights.",
    "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "Все люди рождаются свободными и равными в своем достоинстве и правах.",  # noqa: RUF001 - Russian
    "人人生而自由,在尊严和权利上一律平等。",
    "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。",
    "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.",
    "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם.",
    "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền lợi.",
    "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar.",  # noqa: RUF001 - Turkish
    "Watu wote wamezaliwa huru, hadhi na haki zao ni sawa.",
    "Anna Virtanen\nBerlin,  3½ km — ﬁn, cafe\u0301 👩\u200d👩\u200d👧",
    " 한국어 ﾊﾝｶｸ ",
    "ok",
)
