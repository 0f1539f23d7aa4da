"""Has weak topic labels made by hand: English GATITOS entries and XQuAD article titles by SIB-200 topic.

They were chosen for this model by reading the entries and titles. They bring words of topics that the 701 training
sentences lack, in the 173 languages of GATITOS and the 6 of XQuAD.
"""

WORDS = {
    "health": (
        "ankle cancer cough cure diet disabled dizzy doctor heal hospital jaw lungs mental nausea nurse "
        "symptoms swollen wound suffering depressed stress body ears foot nose remedy acute weakness tears "
        "head leg pee born weak"
    ),
    "sports": ("athlete competition football gym fan target jump ran horse"),
    "politics": (
        "accused army campaign claim command compliance court debate denied discharge execution exploit "
        "fought government jail justice labor negotiate oath resistance surveillance torture violent war "
        "wages wage inflation currency employment trial rule consent flag strategy struggle supervisor shoot "
        "rescue criticism volunteer"
    ),
    "travel": (
        "bus boat commute destination holiday hotel plane port resort restaurant ride safe_flight station "
        "tour vacation vehicle transfer delayed temple lunch supper hut tip garlic banana shrimp beef cabbage "
        "snack roast"
    ),
    "science/technology": (
        "angle animal elephant insect species technology design energy evidence infinity invent motion online "
        "parallel pollution research space structure sun system tool tools whale snake crab detect discover "
        "developed drill horizontal vertical owl pigeon error null measure transparent tube unit wild venom "
        "habitat goat donkey pig bull prevent instrument calf beast"
    ),
    "entertainment": (
        "band genre poetry statue magazine plot jewelry paint picture epic attraction advertising philosophy "
        "vintage writing reading style stunning"
    ),
    "geography": (
        "city continent desert dam east forest landscape north pond river shore soil tide town spring winter "
        "conservation neighborhood forecast center side field shallow"
    ),
}

ARTICLES = {
    "sports": ["Super_Bowl_50"],
    "science/technology": [
        "Nikola_Tesla", "Computational_complexity_theory", "Steam_engine", "Oxygen", "Apollo_program", "Ctenophora",
        "Packet_switching", "Construction", "Chloroplast", "Prime_number", "Force",
    ],
    "geography": [
        "Warsaw", "Southern_California", "Victoria_(Australia)", "Amazon_rainforest", "Fresno,_California",
        "Newcastle_upon_Tyne", "Jacksonville,_Florida", "Rhine",
    ],
    "politics": [
        "1973_oil_crisis", "European_Union_law", "Civil_disobedience", "Economic_inequality",
        "Scottish_Parliament", "Islamism", "Imperialism", "French_and_Indian_War",
    ],
    "entertainment": [
        "Sky_(United_Kingdom)", "Victoria_and_Albert_Museum", "American_Broadcasting_Company", "Doctor_Who",
    ],
    "health": ["Black_Death", "Pharmacy", "Immune_system"],
}  # fmt: skip


def word_topics() -> dict[str, list[str]]:
    """Return the English GATITOS entries of each topic."""
    return {topic: [word.replace("_", " ") for word in words.split()] for topic, words in WORDS.items()}


def article_topics() -> dict[str, str]:
    """Return the topic of each XQuAD article that has one."""
    return {title: topic for topic, titles in ARTICLES.items() for title in titles}
