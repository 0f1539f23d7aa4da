// Sentences in many scripts, to compare: six meanings, each in several languages.

export const SENTENCES = [
  ["English", "It will rain in the mountains tomorrow."],
  ["Español", "Mañana lloverá en las montañas."],
  ["العربية", "ستمطر غدًا في الجبال."],
  ["Русский", "Завтра в горах будет дождь."],
  ["日本語", "明日は山で雨が降るでしょう。"],
  ["हिन्दी", "कल पहाड़ों में बारिश होगी।"],
  ["English", "The team won the final after extra time."],
  ["Deutsch", "Die Mannschaft gewann das Finale nach Verlängerung."],
  ["Ελληνικά", "Η ομάδα κέρδισε τον τελικό στην παράταση."],
  ["العربية", "فاز الفريق بالمباراة النهائية بعد الوقت الإضافي."],
  ["中文", "球队在加时赛后赢得了决赛。"],
  ["Kiswahili", "Timu ilishinda fainali baada ya muda wa ziada."],
  ["English", "Doctors tested a new vaccine on children."],
  ["Français", "Des médecins ont testé un nouveau vaccin sur des enfants."],
  ["Русский", "Врачи испытали новую вакцину на детях."],
  ["हिन्दी", "डॉक्टरों ने बच्चों पर एक नए टीके का परीक्षण किया।"],
  ["ไทย", "แพทย์ทดสอบวัคซีนใหม่กับเด็ก"],
  ["Türkçe", "Doktorlar çocuklar üzerinde yeni bir aşı denedi."],
  ["English", "Parliament voted on the new tax law."],
  ["Español", "El Parlamento votó la nueva ley de impuestos."],
  ["עברית", "הכנסת הצביעה על חוק המס החדש."],
  ["日本語", "国会は新しい税法を採決した。"],
  ["한국어", "국회는 새 세법을 표결했다."],
  ["Ελληνικά", "Το κοινοβούλιο ψήφισε τον νέο φορολογικό νόμο."],
  ["English", "The train to the coast leaves at noon."],
  ["Deutsch", "Der Zug an die Küste fährt um zwölf Uhr ab."],
  ["العربية", "يغادر القطار المتجه إلى الساحل عند الظهر."],
  ["中文", "开往海边的火车中午出发。"],
  ["ไทย", "รถไฟไปชายทะเลออกตอนเที่ยง"],
  ["Kiswahili", "Treni ya kwenda pwani huondoka saa sita mchana."],
  ["English", "Astronomers found water on a distant planet."],
  ["Français", "Des astronomes ont trouvé de l’eau sur une planète lointaine."],
  ["Русский", "Астрономы нашли воду на далёкой планете."],
  ["فارسی", "ستاره‌شناسان روی سیاره‌ای دور آب پیدا کردند."],
  ["한국어", "천문학자들이 먼 행성에서 물을 발견했다."],
  ["বাংলা", "জ্যোতির্বিজ্ঞানীরা একটি দূরের গ্রহে জল খুঁজে পেয়েছেন।"],
];

const CODES = {
  English: "en", Español: "es", العربية: "ar", Русский: "ru", 日本語: "ja", हिन्दी: "hi", Deutsch: "de", Ελληνικά: "el", 中文: "zh",
  Kiswahili: "sw", Français: "fr", ไทย: "th", Türkçe: "tr", עברית: "he", 한국어: "ko", فارسی: "fa", বাংলা: "bn",
};

/** Return the code of a language by its own name, so that it is read and drawn as it should be; null for several. */
export function codeOf(language) {
  return CODES[language] ?? null;
}

/** Return the sentence with this meaning (0 to 5) in a language of the table. */
function said(meaning, language) {
  return SENTENCES.slice(meaning * 6, meaning * 6 + 6).find(([name]) => name === language)[1];
}

const one = (language, text) => ({ language, values: { text } });

export const NEWS = [
  one("English", said(1, "English")), one("Ελληνικά", "Οι γιατροί στο νοσοκομείο έδωσαν στους ασθενείς ένα νέο φάρμακο."),
  one("العربية", said(1, "العربية")), one("中文", said(4, "中文")), one("Русский", said(5, "Русский")),
  one("हिन्दी", said(2, "हिन्दी")), one("日本語", said(3, "日本語")), one("ไทย", said(4, "ไทย")),
  one("עברית", said(3, "עברית")), one("한국어", said(5, "한국어")), one("Kiswahili", said(1, "Kiswahili")),
  one("বাংলা", said(5, "বাংলা")),
];

export const NAMES = [
  one("English", "Maria Callas was born in New York and sang at La Scala in Milan."),
  one("Deutsch", "Angela Merkel traf in Paris den Chef von Airbus."),
  one("Ελληνικά", "Η Μαρία Κάλλας γεννήθηκε στη Νέα Υόρκη και τραγούδησε στη Σκάλα του Μιλάνου."),
  one("العربية", "وُلدت أم كلثوم في مصر وغنّت في باريس سنة 1967."),
  one("Русский", "Юрий Гагарин родился в деревне Клушино и жил в Москве."),
  one("हिन्दी", "सचिन तेंदुलकर का जन्म मुंबई में हुआ और उन्होंने भारत के लिए खेला।"),
  one("日本語", "夏目漱石は東京で生まれ、ロンドンに留学した。"),
  one("中文", "鲁迅出生于浙江绍兴，后来在北京大学任教。"),
  one("Kiswahili", "Wangari Maathai alizaliwa Nyeri na alifundisha Chuo Kikuu cha Nairobi."),
  one("ไทย", "สุนทรภู่เกิดที่กรุงเทพและเดินทางไปเพชรบุรี"),
];

export const QUESTIONS = [
  ["English", "Where was Marie Curie born?",
    "Marie Curie was born in Warsaw in 1867. She moved to Paris to study, and later won two Nobel Prizes."],
  ["English, Deutsch", "How high is the Zugspitze?", "Die Zugspitze ist mit 2962 Metern der höchste Berg Deutschlands."],
  ["Español", "¿En qué año se fundó la universidad?",
    "La Universidad de Salamanca se fundó en el año 1218 por orden del rey Alfonso IX de León."],
  ["العربية", "أين تقع مدينة البتراء؟", "تقع مدينة البتراء في جنوب الأردن، وهي مدينة قديمة منحوتة في الصخر."],
  ["Русский", "Кто написал роман?", "Роман «Война и мир» написал Лев Толстой в 1860-х годах."],
  ["हिन्दी", "ताजमहल कहाँ है?", "ताजमहल आगरा में यमुना नदी के किनारे स्थित है। इसे शाहजहाँ ने बनवाया था।"],
  ["中文", "长江流入哪里？", "长江是亚洲最长的河流，发源于青藏高原，最后流入东海。"],
].map(([language, question, context]) => ({ language, values: { question, context } }));

export const CHOICES = [
  ["English", "It started to rain, so", "she opened her umbrella.", "she watered the garden.", "she put on sunglasses."],
  ["Español", "Se apagó la luz, así que", "encendimos una vela.", "apagamos la televisión.", "abrimos la nevera."],
  ["العربية", "شعر بالعطش، لذلك", "شرب كوبًا من الماء.", "ارتدى معطفه.", "أغلق الكتاب."],
  ["中文", "天黑了，所以", "他打开了灯。", "他去游泳了。", "他吃了早饭。"],
  ["Kiswahili", "Alikuwa na njaa, kwa hiyo", "alikula chakula.", "alilala.", "alifunga mlango."],
].map(([language, text, ...choices]) => ({ language, values: { text, choices: choices.join("\n") } }));

// the mask of the model takes the place of the underscores
export const MASKED = [
  one("English", "The capital of France is ____."), one("Español", "La capital de España es ____."),
  one("Ελληνικά", "Η πρωτεύουσα της Ελλάδας είναι η ____."), one("Русский", "Столица России — ____."),
  one("العربية", "عاصمة مصر هي ____."), one("हिन्दी", "भारत की राजधानी ____ है।"), one("日本語", "日本の首都は____です。"),
  one("English, twice", "Doctors work in a ____, and teachers work in a ____."),
];

export const LABELLED = [
  ["English", "The striker scored twice before half-time.", "sport, politics, health"],
  ["العربية", "ارتفعت أسعار النفط بعد قرار المنظمة.", "economy, sport, health"],
  ["Deutsch", "Der Film gewann drei Preise beim Festival in Venedig.", "Kultur, Wirtschaft, Wetter", "In diesem Text geht es um {}."],
  ["中文", "新手机的电池只能用半天。", "投诉, 表扬, 提问", "这句话是{}。"],
  ["हिन्दी", said(2, "हिन्दी"), "health, travel, sport"],
].map(([language, text, labels, template = ""]) => ({ language, values: { text, labels, template } }));

export const SUPPORT = [
  { language: "many", values: { source: "How do I reset my password?", sentences:
    "¿Cómo cambio mi contraseña?\nパスワードを忘れました。\nأين طلبي؟\nWo ist mein Paket?\nI want a refund." } },
  { language: "العربية", values: { source: said(4, "العربية"), sentences:
    [said(4, "English"), said(4, "中文"), said(1, "Deutsch"), said(5, "فارسی")].join("\n") } },
];

export const SHOP = [
  { language: "many", values: { query: "How long does delivery take?", documents:
    "La entrega tarda entre tres y cinco días laborables.\nRückgaben sind innerhalb von 30 Tagen möglich.\n" +
    "يمكنك الدفع بالبطاقة أو نقدًا.\n送料は無料です。\nDeliveries arrive within a week." } },
  { language: "Русский", values: { query: "новая вакцина", documents:
    [said(0, "Русский"), said(2, "Français"), said(2, "ไทย"), said(3, "한국어")].join("\n") } },
];

export const MATRIX = [
  { language: "three meanings", values: { texts: [
    said(0, "English"), said(0, "العربية"), said(0, "日本語"), said(2, "English"), said(2, "Русский"), said(2, "ไทย"),
    said(4, "English"), said(4, "Deutsch"), said(4, "中文")].join("\n") } },
  { language: "one meaning", values: { texts: SENTENCES.slice(6, 12).map(([, text]) => text).join("\n") } },
];

export const BEGINNINGS = [
  one("English", "The train stopped at the border, and"), one("Français", "Il était une fois"), one("Русский", "Однажды утром"),
  one("中文", "很久以前，"),
];

export const FEELINGS = [
  one("English", "The staff were kind, and the room was spotless."), one("Español", "La comida llegó fría y tarde."),
  one("العربية", "كانت الرحلة رائعة من البداية إلى النهاية."), one("हिन्दी", "यह फ़ोन दो दिन में ख़राब हो गया।"),
  one("中文", "服务一般，没什么特别的。"), one("Türkçe", "Kitabı çok sevdim, herkese öneririm."),
];

/** Return neighbours to ask for: a sentence that is not in the table, and some that are. */
export const ASKED = [
  one("English", "A new injection protects young people from the disease."), one("العربية", "هل توجد مياه على كواكب أخرى؟"),
  one("Español", "¿A qué hora sale el tren?"), one("日本語", "試合は延長戦で決まった。"), one("Kiswahili", "Kesho mvua itanyesha."),
];
