"""Each data set is read as it was published, and an ill-formed file is named by its line."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from glossa.evaluation.datasets.dataset import Wanted, read_languages
from glossa.evaluation.datasets.registry import DATASETS, dataset_named
from glossa.evaluation.measures import MEASURES
from shared.errors import NotFound, Unprocessable
from tests.unit.glossa.evaluation.samples import SAMPLES, UNER_TEXT, XNLI_COLUMNS, Sample

PAGE = (Path(__file__).parents[5] / "docs" / "evaluate.md").read_text(encoding="utf-8")
XNLI_HEADER = "\t".join(XNLI_COLUMNS)


@pytest.mark.parametrize("name", DATASETS)
def test_a_published_folder_is_read(name: str, tmp_path: Path) -> None:
    """Languages, texts, labels and offsets are those of the files."""
    sample = SAMPLES[name]
    found = read_languages(DATASETS[name], Wanted(sample.write(tmp_path), sample.split))
    assert {of.lang: list(of.examples) for of in found} == sample.expected


@pytest.mark.parametrize("name", DATASETS)
def test_the_page_has_every_data_set(name: str) -> None:
    """Its files, source, licence and metrics stand in one row."""
    dataset = DATASETS[name]
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    parts = (dataset.files, dataset.source, dataset.licence, MEASURES[dataset.kind].task)
    assert [part for part in parts if part not in row] == []


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("xnli", "xnli.test.tsv", f"{XNLI_HEADER}\nde\tneutral\n", "line 2: got 2 columns, expected 19"),
        ("sib200", "test/deu_Latn.tsv", "index_id\tcategory\ttext\n1\tsport\ta\n", "line 2: got label 'sport'"),
        ("sib200", "test/deu_Latn.tsv", "index_id\ttopic\ttext\n1\tsports\ta\n", "line 2: got columns index_id, topic"),
        ("nusax", "english/test.csv", 'id,text,label\n1,"a,positive\n', "line 2: got no CSV"),
        ("nusax", "english/test.csv", "id,text,label,text\n1,a,positive,b\n", "line 1: got two columns 'text'"),
        ("nusax", "english/test.csv", 'id,text,label\n1,"a\nb",positive\n2,c\n', "line 4: got 2 columns, expected 3"),
        ("wikiann", "en/test", "en:a\tO\n\nen:b\tPER\n", "line 3: got 'en:b.tPER', expected a word and a tag"),
        ("masakhaner", "hau/test.txt", "word\n", "line 1: got 'word', expected a word and a tag"),
        ("xquad", "xquad.en.json", '{"data":\n [}', "line 2: got no JSON"),
        ("xquad", "xquad.en.json", '{"data": [{"paragraphs": [{"qas": []}]}]}', r"paragraphs\[0\]: got .*'context'"),
        ("xcopa", "test.it.jsonl", "{}\n", "line 1: got columns , expected question"),
        ("xcopa", "test.it.jsonl", "\n[]\n", "line 2: got list, expected a JSON object"),
        ("stsb", "sts-test.csv", "a\tb\n", "line 1: got 2 columns, expected 7"),
        ("stsb", "sts-test.csv", "a\tb\tc\td\tnan\tf\tg\n", "line 1: got 'nan' as grade, expected a number"),
        ("tatoeba", "tatoeba.deu-eng.deu", "Ja.\n", "expected it"),
        ("jsts", "jsts.dev.jsonl", '{"sentence1": "\\ud800", "sentence2": "b", "label": 1}', "line 1: got a lone"),
    ],
)  # fmt: skip
def test_an_ill_formed_file_is_named_by_its_line(name: str, file: str, text: str, message: str, tmp_path: Path) -> None:
    """The message has the file, the place, what stands there and what was expected."""
    folder = Sample({file: text}, {}).write(tmp_path)
    with pytest.raises(Unprocessable, match=f"{file}, .*{message}"):
        read_languages(DATASETS[name], Wanted(folder, "dev" if "dev" in file else "test"))


def test_bytes_that_are_not_utf8_are_named_by_their_line(tmp_path: Path) -> None:
    """A file in Latin-1 is not read wrongly."""
    (tmp_path / "hau").mkdir()
    (tmp_path / "hau" / "test.txt").write_bytes("a O\né O\n".encode("latin-1"))
    with pytest.raises(Unprocessable, match="line 2: got a byte that is not UTF-8 at 0"):
        read_languages(DATASETS["masakhaner"], Wanted(tmp_path, "test"))


@pytest.mark.parametrize(("ending", "opened"), [(".gz", gzip.open), (".xz", lzma.open)])
def test_packed_files_are_read(ending: str, opened: Callable[..., Any], tmp_path: Path) -> None:
    """A byte order mark and the line ends of Windows do not count."""
    with opened(tmp_path / f"xnli.test.jsonl{ending}", "wb") as file:
        file.write(
            b"\xef\xbb\xbf" + b'{"language": "en", "gold_label": "neutral", "sentence1": "a", "sentence2": "b"}\r\n'
        )
    [found] = read_languages(DATASETS["xnli"], Wanted(tmp_path, "test"))
    assert (found.lang, len(found.examples)) == ("en", 1)
    path = tmp_path / f"xnli.test.jsonl{ending}"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(Unprocessable, match=f"got no whole {ending} file"):
        read_languages(DATASETS["xnli"], Wanted(tmp_path, "test"))


def test_written_text_gives_each_word_its_place(tmp_path: Path) -> None:
    """Contractions that were split into words share the place of what is written."""
    folder = SAMPLES["uner"].write(tmp_path)
    [found] = read_languages(DATASETS["uner"], Wanted(folder, "test", words="written"))
    [example] = found.examples
    assert getattr(example, "text", None) == UNER_TEXT
    assert [UNER_TEXT[begin:end] for begin, end in getattr(example, "spans", ())] == ["Ana", "foi", "d", "o", "Rio"]


def test_a_language_is_chosen_by_its_name(tmp_path: Path) -> None:
    """MLQA reads questions in another language only when they are asked for; an unknown name is refused."""
    folder = SAMPLES["mlqa"].write(tmp_path)
    wanted = Wanted(folder, "test", ["de-es"])
    assert [of.lang for of in read_languages(DATASETS["mlqa"], wanted)] == ["de-es"]
    with pytest.raises(Unprocessable, match="got --lang xx, expected one of de, de-es"):
        read_languages(DATASETS["mlqa"], replace(wanted, langs=["xx"]))


def test_missing_and_doubled_files_are_told(tmp_path: Path) -> None:
    """Another split is offered; two files of one language are not mixed; an unknown data set lists those there are."""
    folder = SAMPLES["sib200"].write(tmp_path)
    with pytest.raises(Unprocessable, match="got no dev files") as raised:
        read_languages(DATASETS["sib200"], Wanted(folder, "dev"))
    assert raised.value.hint == "there are others: --split test"
    Sample({"copy/deu_Latn/test.tsv": ""}, {}).write(tmp_path)
    with pytest.raises(Unprocessable, match="expected one file for deu_Latn"):
        read_languages(DATASETS["sib200"], Wanted(folder, "test"))
    with pytest.raises(NotFound, match="expected one of xnli, "):
        dataset_named("xnIi")
