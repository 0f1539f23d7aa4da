"""Data sets for vectors: translations that are to be found, and pairs of sentences that people graded.

Must not know models or metrics.
"""

from __future__ import annotations

from pathlib import Path

from glossa.evaluation.datasets.classification import SIB
from glossa.evaluation.datasets.dataset import Dataset, Pairs, Wanted
from glossa.evaluation.examples import Graded, Translation
from glossa.evaluation.readers.aligned import graded_lines, sts_track, stsb, translations
from glossa.evaluation.readers.files import Found, ill_formed
from glossa.evaluation.readers.tables import rows

ENGLISH = "eng_Latn"
STSB_LANG = "en"


def read_tatoeba(found: Found, _: Wanted) -> Pairs:
    """Yield the pairs of a language with English."""
    for each in translations(found.path, found.path.with_name(f"tatoeba.{found.lang}-eng.eng")):
        yield found.lang, each


def read_sib_pairs(found: Found, _: Wanted) -> Pairs:
    """Yield the sentences of SIB-200 with those of English that have the same `index_id`. English itself has none."""
    if found.lang == ENGLISH:
        return
    english = _english_of(found)
    of_id = {row.text("id"): row.text("text") for row in rows(english)}
    for row in rows(found.path):
        if (name := row.text("id")) not in of_id:
            raise ill_formed(row.path, row.line, f"got index_id {name[:40]!r}, expected one of {english}")
        yield found.lang, Translation(row.text("text"), of_id[name])


def read_sts_track(found: Found, wanted: Wanted) -> Pairs:
    """Yield the pairs of a track of STS 2017 with the grades of its file `STS.gs.`, which may lie in another folder."""
    track = found.lang.partition(".")[0]
    names = (f"STS.gs.{found.lang}.txt", f"STS.gs.{track}.txt")
    grades = sorted(path for name in names for path in wanted.folder.rglob(name))
    if not grades:
        raise ill_formed(found.path, "its grades", f"got no {' or '.join(names)} in {wanted.folder}, expected it")
    for each in sts_track(found.path, grades[0]):
        yield found.lang, each


def read_graded_lines(found: Found, _: Wanted) -> Pairs:
    """Yield pairs with their grades in one file."""
    for each in graded_lines(found.path):
        yield found.lang, each


def read_stsb(found: Found, _: Wanted) -> Pairs:
    """Yield the pairs of the STS benchmark."""
    for each in stsb(found.path):
        yield STSB_LANG, each


def read_jsts(found: Found, _: Wanted) -> Pairs:
    """Yield the pairs of JSTS."""
    for row in rows(found.path):
        yield "ja", Graded(row.text("premise"), row.text("hypothesis"), row.number("label"))


def _english_of(found: Found) -> Path:
    beside = found.path.with_name(found.path.name.replace(found.lang, ENGLISH))
    above = found.path.parent.with_name(ENGLISH) / found.path.name
    for path in (beside, above):
        if path != found.path and path.is_file():
            return path
    raise ill_formed(found.path, "beside it", f"got no file of {ENGLISH}, expected one: its sentences are looked for")


DATASETS = (
    Dataset(
        "tatoeba",
        "Tatoeba of LASER (Artetxe & Schwenk 2019), retrieval of translations",
        "retrieval",
        ("accuracy", "accuracy_from_english"),
        "`tatoeba.LANG-eng.LANG` and `tatoeba.LANG-eng.eng`; it has no splits",
        (r"(?:.*/)?tatoeba\.(?P<lang>[a-z]{3})-eng\.(?P=lang)",),
        read_tatoeba,
        "github.com/facebookresearch/LASER",
        "CC BY 2.0 FR",
    ),
    Dataset(
        "sib200-retrieval",
        "SIB-200, retrieval of the English original",
        "retrieval",
        ("accuracy", "accuracy_from_english"),
        "as `sib200`, with English among them",
        SIB,
        read_sib_pairs,
        "github.com/dadelani/sib-200",
        "CC BY-SA 4.0",
    ),
    Dataset(
        "stsb",
        "STS benchmark (Cer et al. 2017), similarity of sentences",
        "similarity",
        ("spearman",),
        "`sts-test.csv`",
        (r"(?:.*/)?sts-(?P<split>train|dev|test)\.(?:csv|tsv)",),
        read_stsb,
        "ixa2.si.ehu.eus/stswiki",
        "several, in its LICENSE.txt",
    ),
    Dataset(
        "sts17",
        "STS 2017 of SemEval (Cer et al. 2017), similarity across languages",
        "similarity",
        ("spearman",),
        "`STS.input.track1.ar-ar.txt` and `STS.gs.track1.ar-ar.txt`; it has no splits",
        (r"(?:.*/)?STS\.input\.(?P<lang>track\w+\.[a-z]{2}-[a-z]{2})\.txt",),
        read_sts_track,
        "alt.qcri.org/semeval2017/task1",
        "several: those of its sources",
    ),
    Dataset(
        "sts17-extended",
        "STS 2017 as extended by Reimers & Gurevych 2020, similarity across languages",
        "similarity",
        ("spearman",),
        "`STS.en-de.txt`; it has no splits",
        (r"(?:.*/)?STS\.(?P<lang>[a-z]{2}-[a-z]{2})\.txt",),
        read_graded_lines,
        "sbert.net/datasets",
        "several: those of its sources",
    ),
    Dataset(
        "jsts",
        "JSTS of JGLUE (Kurihara et al. 2022), similarity of sentences",
        "similarity",
        ("spearman",),
        "`jsts-v1.3/valid-v1.3.json`, or `jsts.dev.jsonl`",
        (r"(?:.*/)?jsts-v[\d.]+/(?P<split>train|valid)-v[\d.]+\.json", r"(?:.*/)?jsts\.(?P<split>train|dev)\.jsonl"),
        read_jsts,
        "github.com/yahoojapan/JGLUE",
        "CC BY-SA 4.0",
    ),
)
